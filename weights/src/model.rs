//! What a model is, as its `config.json` tells: a transformer over text, or a network over images.
//!
//! The spec is complete before any weight is read. [`crate::resolve()`] and
//! [`crate::resolve_image()`] then hold it against the checkpoint, and set what only the weights
//! can tell: whether there is a head, and a pooler.

use std::path::Path;

use serde::Deserialize;

use crate::disk::read_whole;
use crate::error::Result;
use crate::folder::{CONFIG_BYTES_MAX, CONFIG_FILE, check_no_adapter_files};
use crate::image::{self, ImageSpec};
use crate::json;
use crate::spec::{self, Task, TextSpec};

/// A classifier over text or over images.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelSpec {
    /// A transformer encoder; classifies tokens.
    Text(TextSpec),
    /// A convolutional network; classifies pixels.
    Image(ImageSpec),
}

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
        if let Self::Image(image) = &mut spec {
            image::read_preprocessor(image, dir)?;
        }
        Ok(spec)
    }

    /// Reads a configuration from `json`; `file` is for error messages only.
    pub fn parse(json: &[u8], file: &Path) -> Result<Self> {
        let kind: Kind = json::parse(json, file)?;
        match (kind.model_type.as_deref(), kind.architecture) {
            (Some(image::MODEL_TYPE), _) | (None | Some(image::TIMM_MODEL_TYPE), Some(_)) => {
                image::parse(json, file).map(Self::Image)
            }
            _ => spec::parse(json, file).map(Self::Text),
        }
    }

    /// Rows of the classifier; 0 when there is none.
    pub fn classes(&self) -> usize {
        match self {
            Self::Text(spec) => spec.classes,
            Self::Image(spec) => spec.head.classes,
        }
    }

    /// One name per class.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Text(spec) => &spec.labels,
            Self::Image(spec) => &spec.labels,
        }
    }

    /// What its numbers mean; [`Task::Classes`] where there is no classifier.
    pub fn task(&self) -> Task {
        match self {
            Self::Text(spec) => spec.scores.task(spec.classes),
            Self::Image(spec) => spec.scores.task(spec.head.classes),
        }
    }

    /// Encoder layers, or segments. A ramp may stand behind each but the last.
    pub fn sites(&self) -> usize {
        match self {
            Self::Text(spec) => spec.layers,
            Self::Image(spec) => spec.segments.len(),
        }
    }

    /// Elements of the vector that a ramp behind `site` looks at: the hidden size, or the channels
    /// that the segment ends with. 0 where there is no such site.
    pub fn site_width(&self, site: usize) -> usize {
        match self {
            Self::Text(spec) if site < spec.layers => spec.hidden,
            Self::Text(_) => 0,
            Self::Image(spec) => spec.segments.get(site).map_or(0, image::NetSegment::width),
        }
    }

    /// The family (`bert`) or the architecture (`resnet20`).
    pub fn name(&self) -> &str {
        match self {
            Self::Text(spec) => spec.family.model_type(),
            Self::Image(spec) => &spec.architecture,
        }
    }

    /// The transformer, when it is one.
    pub fn text(&self) -> Option<&TextSpec> {
        match self {
            Self::Text(spec) => Some(spec),
            Self::Image(_) => None,
        }
    }

    /// The network over images, when it is one.
    pub fn image(&self) -> Option<&ImageSpec> {
        match self {
            Self::Image(spec) => Some(spec),
            Self::Text(_) => None,
        }
    }
}
