//! One integration binary: everything over the public crates.

mod golden;
