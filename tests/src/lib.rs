//! What the integration tests share: references in f64, and the suite that every device passes.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

pub mod models;
pub mod reference;
pub mod suite;

/// The repository, or what stands in for it where binaries run away from it
/// (`OFFRAMP_TEST_ROOT`).
pub fn root() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::var_os("OFFRAMP_TEST_ROOT").map_or_else(here, PathBuf::from)
}

/// Tiny checkpoints with the original framework's answers.
pub fn golden_dir() -> PathBuf {
    root().join("tests/data/golden")
}

/// The folder of golden image models.
pub fn golden_images_dir() -> PathBuf {
    root().join("tests/data/golden-images")
}
