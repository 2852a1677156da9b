//! What a model is, as its `config.json` tells: family, sizes, activation, labels.
//!
//! The spec is complete before any weight is read. [`crate::resolve()`] then holds it against the
//! checkpoint, and sets what only the weights can tell: whether there is a head, and a pooler.

mod activation;
mod config;
mod labels;

use std::fmt;
use std::path::Path;

use crate::disk::read_whole;
use crate::error::Result;

pub use activation::{Activation, UnknownActivation};
pub(crate) use labels::refit;

/// The file name of a model's configuration.
pub const CONFIG_FILE: &str = "config.json";

/// Longest `config.json` that is read, bytes.
pub(crate) const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// Most encoder layers of a model.
pub const LAYERS_MAX: usize = 128;
/// Widest hidden state of a model, elements.
pub const HIDDEN_MAX: usize = 16_384;
/// Most classes of a head.
pub const CLASSES_MAX: usize = 65_536;
const INTERMEDIATE_MAX: usize = 131_072;
const VOCAB_MAX: usize = 4 << 20;
const POSITIONS_MAX: usize = 65_536;
const KINDS_MAX: usize = 1_024;

/// The model families, by the `model_type` of their configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// `bert`: token kinds, tanh pooler.
    Bert,
    /// `roberta`: as BERT, with positions that start after the pad token's id.
    Roberta,
    /// `distilbert`: no token kinds, ReLU before the classifier.
    DistilBert,
}

impl Family {
    /// All families.
    pub const ALL: [Self; 3] = [Self::Bert, Self::Roberta, Self::DistilBert];

    /// The `model_type`, which is also the prefix of the encoder's tensor names.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::DistilBert => "distilbert",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type())
    }
}

/// A transformer encoder with an optional classifier. Sizes are counts of elements.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// Which tensor names and which head.
    pub family: Family,
    /// Encoder layers, 1 to 128.
    pub layers: usize,
    /// Width of the hidden state; a multiple of `heads`.
    pub hidden: usize,
    /// Attention heads of a layer.
    pub heads: usize,
    /// Width between the two linears of a feed-forward block.
    pub intermediate: usize,
    /// Token ids are below this.
    pub vocab: usize,
    /// Rows of the position table, `max_position_embeddings` as in the file.
    pub positions: usize,
    /// The table row of a sequence's first token: 0, or the pad token's id + 1 for RoBERTa.
    pub position_offset: usize,
    /// The id that padding has; below `vocab`.
    pub pad_token: u32,
    /// Token kinds (`type_vocab_size`); 0 where the family has none.
    pub kinds: usize,
    /// Added to the variance in layer norms; above 0, below 1.
    pub norm_eps: f32,
    /// Between the two linears of a feed-forward block.
    pub activation: Activation,
    /// Whether a dense layer with [`ModelSpec::head_activation`] follows on the first token: the
    /// pooler, or a head's first layer. Set by [`crate::resolve()`].
    pub has_pooler: bool,
    /// Rows of the classifier; 0 when there is none. Set by [`crate::resolve()`].
    pub classes: usize,
    /// One name per class.
    pub labels: Vec<String>,
}

impl ModelSpec {
    /// Reads `config.json` in the folder `dir`. Errors: absent, damaged, or not supported.
    pub fn read(dir: &Path) -> Result<Self> {
        let file = dir.join(CONFIG_FILE);
        Self::parse(&read_whole(&file, CONFIG_BYTES_MAX)?, &file)
    }

    /// Reads a configuration from `json`; `file` is for error messages only.
    pub fn parse(json: &[u8], file: &Path) -> Result<Self> {
        config::parse(json, file)
    }

    /// Elements of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden / self.heads
    }

    /// Most tokens of one row: the positions that a sequence can reach.
    pub fn row_tokens_max(&self) -> usize {
        self.positions - self.position_offset
    }

    /// What follows the pooler, or the first layer of the head.
    pub fn head_activation(&self) -> Activation {
        match self.family {
            Family::Bert | Family::Roberta => Activation::Tanh,
            Family::DistilBert => Activation::Relu,
        }
    }
}
