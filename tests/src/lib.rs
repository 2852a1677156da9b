//! What the integration tests share: references in f64, and the suite that every device passes.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

pub mod faulty;
pub mod models;
pub mod networks;
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

/// The text model that ships.
pub fn shipped_dir() -> PathBuf {
    root().join("tools/models/trec-questions")
}

/// Its test questions with the name of their class.
///
/// # Panics
/// They cannot be read.
pub fn questions() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(shipped_dir().join("test.jsonl"));
    let text = text.expect("the test questions ship with the model");
    let read = |line: &str| {
        let input: serde_json::Value = serde_json::from_str(line).expect("lines of JSON");
        let field = |name: &str| input[name].as_str().expect("text and label").to_owned();
        (field("text"), field("label"))
    };
    text.lines().map(read).collect()
}

/// The folder of golden image models.
pub fn golden_images_dir() -> PathBuf {
    root().join("tests/data/golden-images")
}
