//! What the integration tests share: references in f64, and the suite that every device passes.

#![forbid(unsafe_code)]

pub mod models;
pub mod reference;
pub mod suite;
