//! What the readers accept, what they refuse, and in which words.
#![expect(clippy::unwrap_used, reason = "a failed step fails its test")]

#[path = "../common/mod.rs"]
mod common;

mod attacks;
mod checkpoint;
mod config;
mod convert;
mod fold;
mod forward;
mod golden;
mod golden_images;
mod image_config;
mod image_resolve;
mod keys;
#[cfg(unix)]
mod links;
mod preprocessor;
mod ramps;
mod resolve;
mod thresholds;

use std::path::Path;

use common::Put;
use offramp_weights::{Error, Result};

/// The text of the error, without the folder, which is another one in each run.
fn text<T: std::fmt::Debug>(result: Result<T>, dir: &Path) -> String {
    let error: Error = result.expect_err("this must be refused");
    error.to_string().replace(&format!("{}/", dir.display()), "")
}

/// A folder that holds `config` and `puts`.
fn folder(config: &str, puts: &[Put]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    common::write(dir.path(), "config.json", config.as_bytes());
    common::write(dir.path(), "model.safetensors", &common::safetensors(puts));
    dir
}
