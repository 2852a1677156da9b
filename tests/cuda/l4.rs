//! The same on a card with 99 KiB of shared memory for a block: every op, images, errors, the
//! invariants of whole passes, and the model that ships.
//!
//! A binary of its own, as a process has one card. With a GPU it runs on that, as `main.rs` does.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(dead_code, reason = "the helpers serve other tests too")]

mod bits;
mod errors;
#[path = "../it/invariants.rs"]
mod invariants;
mod machine;
mod shipped;
#[path = "../it/support.rs"]
mod support;

use std::ffi::CStr;

use offramp_kernels::cuda::{Elem, gpus};
use offramp_tests::op_suite;
use offramp_tests::suite::Tolerance;

/// The card of this process.
const CARD: Option<&CStr> = Some(c"l4");
/// How the device stores numbers.
const PRECISION: offramp::Precision = offramp::Precision::F16;

op_suite!(f16, machine::f16, Tolerance::F16);
// Tiles of wide heads do not fit with elements of four bytes.
op_suite!(tf32, || machine::device(Elem::Tf32), Tolerance::TF32, {
    attention: attention::lengths,
    attention_large_scores: attention::large_scores,
});

#[test]
fn the_card_is_an_l4() {
    if machine::driver().is_some() {
        assert_eq!(gpus().unwrap()[0].name, "PTX interpreter (l4)");
    }
}

#[test]
fn tensor_cores_of_ada_give_the_bits_of_ampere() {
    if machine::driver().is_some() {
        bits::FORMATS.into_iter().for_each(|format| bits::check("ampere", format));
    }
}
