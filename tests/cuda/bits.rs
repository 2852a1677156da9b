//! Tensor cores give the bits that the interpreter gives in their place, on every architecture
//! whose arithmetic it knows.
//!
//! What it gives is stored in `tests/data/bits`, a file for each way to sum up and each storage
//! format. After a change of what is run or of the interpreter: `OFFRAMP_UPDATE_BITS=1`.

use std::path::PathBuf;

use half::{bf16, f16};
use offramp_kernels::cuda::Elem;
use offramp_tests::root;
use offramp_tests::suite::Make;
use offramp_tests::suite::bits::{self, Piece, Store};

use crate::machine;

/// A storage format: its name, a device with it, and how a number is stored.
pub(crate) type Format = (&'static str, Make, Store);

/// Both storage formats.
pub(crate) const FORMATS: [Format; 2] = [
    ("f16", machine::f16, |x| f16::from_f32(x).to_bits()),
    ("bf16", || machine::device(Elem::Bf16), |x| bf16::from_f32(x).to_bits()),
];

/// How tensor cores of this compute capability sum up, or those of an interpreter that was told
/// another way; none where nothing is stored of it.
pub(crate) fn way(compute: (i32, i32)) -> Option<&'static str> {
    let told = std::env::var("OFFRAMP_SIM_TENSOR").ok().filter(|_| !machine::is_real());
    // As the driver reads it.
    match (told.as_deref().map(str::trim).filter(|told| !told.is_empty()), compute) {
        (Some("ampere"), _) | (None, (8, _)) => Some("ampere"),
        (Some("hopper"), _) | (None, (9, 0)) => Some("hopper"),
        _ => None,
    }
}

pub(crate) fn transcript((_, make, store): Format) -> Vec<Piece> {
    bits::transcript(&machine::suite(make), store)
}

pub(crate) fn path(way: &str, (format, ..): Format) -> PathBuf {
    root().join(format!("tests/data/bits/{way}.{format}"))
}

/// Fails unless the bits are those that are stored.
pub(crate) fn check(way: &str, format: Format) {
    let path = path(way, format);
    let stored = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    if let Err(difference) = bits::compare(&transcript(format), &stored) {
        panic!("{way}, {}:\n{difference}", format.0);
    }
}
