//! Where the shipped models lie, and the inputs that come with a model.

use std::path::{Path, PathBuf};

use offramp::Model;

use crate::failure::{Failure, Result};
use crate::pictures::PictureRules;
use crate::rows::{Row, read_labelled};

/// The shipped models, from the folder this was built in: one reads text, one images.
const MODELS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/trec-questions"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist"),
];

/// Held-out inputs in a model's folder: texts, or images with their labels beside.
const TEXTS: &str = "test.jsonl";
const IMAGES: &str = "test-images-idx3-ubyte.gz";

/// `--model`, or the shipped ones.
pub(crate) fn model_dirs(given: Option<&Path>) -> Result<Vec<PathBuf>> {
    match given {
        Some(dir) => Ok(vec![existing(dir)?]),
        None => MODELS.iter().map(|dir| existing(Path::new(dir))).collect(),
    }
}

fn existing(dir: &Path) -> Result<PathBuf> {
    if dir.is_dir() {
        return Ok(dir.canonicalize().unwrap_or_else(|_| dir.to_owned()));
    }
    Err(Failure::Failed(format!(
        "{}: no such folder: name a model with --model DIR",
        dir.display()
    )))
}

/// The rows of `given`, or those that came with the model.
pub(crate) fn rows(model: &Model, given: Option<&Path>, rules: PictureRules) -> Result<Vec<Row>> {
    let beside = model.path(if model.spec().image().is_some() { IMAGES } else { TEXTS });
    let file = given.unwrap_or(&beside);
    if given.is_none() && !file.exists() {
        let file = file.display();
        return Err(Failure::Failed(format!(
            "{file}: no such file: name inputs with --input FILE"
        )));
    }
    read_labelled(file, model, rules)
}
