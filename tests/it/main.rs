//! One integration binary: everything over the public crates.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod adapt;
mod allocations;
mod golden;
mod golden_images;
mod groups;
mod invariants;
mod machine;
mod ops;
mod plan;
mod schedules;
mod shipped;
mod support;
mod tasks;
mod training;
