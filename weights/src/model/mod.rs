//! What a model is, as its `config.json` tells: what it reads, and what it computes.
//!
//! The spec is complete before any weight is read. [`crate::resolve()`] then holds it against the
//! checkpoint, and sets what only the weights can tell: how they spell names, whether there is a
//! head, and a pooler.

mod pixels;
mod tokens;

use crate::network::{Network, Segment};
use crate::spec::{ScoreKeys, Task};

pub use pixels::{ChannelOrder, Interpolation, Middle, Preprocessing, Resize};
pub use tokens::TextSpec;

/// A classifier: what it reads, what it computes, and what its numbers mean.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// The family (`bert`) or the architecture (`resnet20`).
    pub name: String,
    /// What goes in: the only part that knows texts from images.
    pub input: Input,
    /// What is computed, and of which tensors.
    pub network: Network,
    /// One name per class.
    pub labels: Vec<String>,
    /// What the configuration tells of sizes.
    pub told: Told,
    /// What the configuration says of the classifier's numbers.
    pub scores: ScoreKeys,
}

/// What goes into a model.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Tokens of a text.
    Tokens(TextSpec),
    /// Pixels of an image.
    Pixels(Preprocessing),
}

/// Whether the configuration tells of a size; otherwise the weights do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// How many classes there are.
    pub classes: bool,
    /// Whether inputs are grey or coloured.
    pub channels: bool,
}

impl ModelSpec {
    /// Rows of the classifier; 0 when there is none.
    pub fn classes(&self) -> usize {
        self.network.classes()
    }

    /// One name per class.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// What its numbers mean; [`Task::Classes`] where there is no classifier.
    pub fn task(&self) -> Task {
        self.scores.task(self.classes())
    }

    /// Segments: encoder layers, or blocks. A ramp may stand behind each but the last.
    pub fn sites(&self) -> usize {
        self.network.segments.len()
    }

    /// Elements of the vector that a ramp behind `site` looks at: the hidden size, or the channels
    /// that the segment ends with. 0 where there is no such site.
    pub fn site_width(&self, site: usize) -> usize {
        self.network.segments.get(site).map_or(0, Segment::width)
    }

    /// The family (`bert`) or the architecture (`resnet20`).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is read, where that is text.
    pub fn text(&self) -> Option<&TextSpec> {
        match &self.input {
            Input::Tokens(text) => Some(text),
            Input::Pixels(_) => None,
        }
    }

    /// What is read, where that is images.
    pub fn image(&self) -> Option<&Preprocessing> {
        match &self.input {
            Input::Pixels(image) => Some(image),
            Input::Tokens(_) => None,
        }
    }
}
