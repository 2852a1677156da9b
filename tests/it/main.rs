//! One integration binary: everything over the public crates.

mod allocations;
mod golden;
mod invariants;
mod ops;
mod plan;
mod shipped;
mod support;
mod training;
