//! What holds on the CPU holds on a CUDA device: the same tests, and those of its own.
//!
//! They run on a PTX interpreter behind a driver of its own, or with `OFFRAMP_TEST_DRIVER=system`
//! on the machine's driver and GPU.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bits;
mod errors;
#[path = "../it/golden.rs"]
mod golden;
#[path = "../it/golden_images.rs"]
mod golden_images;
#[path = "../it/groups.rs"]
mod groups;
#[path = "../it/invariants.rs"]
mod invariants;
mod machine;
mod ops;
mod repeat;
mod replay;
#[path = "../it/schedules.rs"]
mod schedules;
mod shipped;
#[path = "../it/support.rs"]
mod support;

/// The card of this process; none: that of `OFFRAMP_SIM_CARD`.
const CARD: Option<&std::ffi::CStr> = None;
/// How the device stores numbers.
const PRECISION: offramp::Precision = offramp::Precision::F16;
