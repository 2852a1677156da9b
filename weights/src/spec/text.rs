//! Transformer encoders: family, sizes, activation.

use std::fmt;

use crate::spec::{Activation, ScoreKeys};

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
pub struct TextSpec {
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
    /// Whether a dense layer with [`TextSpec::head_activation`] follows on the first token: the
    /// pooler, or a head's first layer. Set by [`crate::resolve()`].
    pub has_pooler: bool,
    /// Rows of the classifier; 0 when there is none. Set by [`crate::resolve()`].
    pub classes: usize,
    /// One name per class.
    pub labels: Vec<String>,
    /// Whether the configuration tells how many classes there are; otherwise the weights do.
    pub labels_are_told: bool,
    /// `tokenizer_class` without "Fast" and "Tokenizer", which holds where
    /// `tokenizer_config.json` names none.
    pub tokenizer_class: Option<String>,
    /// What the configuration says of the classifier's numbers.
    pub scores: ScoreKeys,
}

impl TextSpec {
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
