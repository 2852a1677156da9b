//! Where the shipped model lies, and the inputs that come with a model.

use std::path::{Path, PathBuf};

use offramp::Model;

use crate::failure::{Failure, Result};
use crate::rows_io::{Row, read_all};

/// The shipped model, from the folder this was built in.
pub(crate) const MODEL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/models/trec-questions");

/// Held-out inputs in a model's folder.
pub(crate) const INPUTS: &str = "test.jsonl";

/// `--model`, or the shipped one.
pub(crate) fn model_dir(given: Option<&Path>) -> Result<PathBuf> {
    let dir = given.unwrap_or(Path::new(MODEL));
    if dir.is_dir() {
        return Ok(dir.canonicalize().unwrap_or_else(|_| dir.to_owned()));
    }
    Err(Failure::Failed(format!(
        "{}: no such folder: name a model with --model DIR",
        dir.display()
    )))
}

/// The rows of `given`, or those that came with the model.
pub(crate) fn rows(model: &Model, given: Option<&Path>) -> Result<Vec<Row>> {
    let beside = model.path(INPUTS);
    let file = given.unwrap_or(&beside);
    if given.is_none() && !file.exists() {
        let file = file.display();
        return Err(Failure::Failed(format!(
            "{file}: no such file: name inputs with --input FILE"
        )));
    }
    read_all(file, model)
}
