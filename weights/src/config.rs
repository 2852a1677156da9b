//! Which reader a `config.json` is for.

use std::path::Path;

use serde::Deserialize;

use crate::disk::read_whole;
use crate::error::Result;
use crate::folder::{CONFIG_BYTES_MAX, CONFIG_FILE, check_no_adapter_files};
use crate::model::ModelSpec;
use crate::{image, json, text};

/// The keys by which the two are told apart.
#[derive(Deserialize)]
struct Kind {
    model_type: Option<String>,
    architecture: Option<String>,
}

impl ModelSpec {
    /// Reads `config.json` in the folder `dir`, and the `preprocessor_config.json` beside it where
    /// an image model has one. Errors: absent, damaged, or not supported.
    pub fn read(dir: &Path) -> Result<Self> {
        check_no_adapter_files(dir)?;
        let file = dir.join(CONFIG_FILE);
        let mut spec = Self::parse(&read_whole(&file, CONFIG_BYTES_MAX)?, &file)?;
        image::read_preprocessor(&mut spec, dir)?;
        Ok(spec)
    }

    /// Reads a configuration from `json`; `file` is for error messages only.
    pub fn parse(json: &[u8], file: &Path) -> Result<Self> {
        let kind: Kind = json::parse(json, file)?;
        match (kind.model_type.as_deref(), kind.architecture) {
            (Some(image::MODEL_TYPE), _) | (None | Some(image::TIMM_MODEL_TYPE), Some(_)) => {
                image::parse(json, file)
            }
            (Some(name), _) if image::TRANSFORMERS.contains(&name) => image::parse(json, file),
            _ => text::parse(json, file),
        }
    }
}
