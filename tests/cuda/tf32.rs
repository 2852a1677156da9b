//! The same with f32 in memory and TF32 products: every op, every golden model within 1e-3 of the
//! original framework, and the model that ships.
//!
//! A binary of its own, as tolerances are those of a precision.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(dead_code, reason = "the helpers serve other tests too")]

#[path = "../it/golden.rs"]
mod golden;
#[path = "../it/golden_images.rs"]
mod golden_images;
mod machine;
mod shipped;
#[path = "../it/support.rs"]
mod support;

use std::ffi::CStr;

use offramp::Precision;
use offramp_kernels::cuda::Elem;
use offramp_tests::op_suite;
use offramp_tests::suite::Tolerance;

/// The card of this process: the default one.
const CARD: Option<&CStr> = None;
/// How the device stores numbers.
const PRECISION: Precision = Precision::Tf32;

op_suite!(tf32, || machine::device(Elem::Tf32), Tolerance::TF32);
