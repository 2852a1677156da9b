//! Tensor names: one table per family, and the old spelling of layer norms.

use crate::error::Result;
use crate::file::{Checkpoint, Tensor};
use crate::spec::Family;

/// A tensor of a model, by what it does. Linear weights are `[outputs, inputs]`, row-major.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `[vocab, hidden]`.
    WordEmbedding,
    /// `[positions, hidden]`.
    PositionEmbedding,
    /// `[kinds, hidden]`; not in DistilBERT.
    KindEmbedding,
    /// `[hidden]`.
    EmbeddingNormScale,
    /// `[hidden]`.
    EmbeddingNormShift,
    /// `[hidden, hidden]`.
    Query,
    /// `[hidden]`.
    QueryBias,
    /// `[hidden, hidden]`.
    Key,
    /// `[hidden]`.
    KeyBias,
    /// `[hidden, hidden]`.
    Value,
    /// `[hidden]`.
    ValueBias,
    /// `[hidden, hidden]`.
    AttentionOut,
    /// `[hidden]`.
    AttentionOutBias,
    /// `[hidden]`; the norm after attention and its residual.
    AttentionNormScale,
    /// `[hidden]`.
    AttentionNormShift,
    /// `[intermediate, hidden]`.
    Up,
    /// `[intermediate]`.
    UpBias,
    /// `[hidden, intermediate]`.
    Down,
    /// `[hidden]`.
    DownBias,
    /// `[hidden]`; the norm after the feed-forward block and its residual.
    OutNormScale,
    /// `[hidden]`.
    OutNormShift,
    /// `[hidden, hidden]`; the pooler, or the head's first layer.
    Pooler,
    /// `[hidden]`.
    PoolerBias,
    /// `[classes, hidden]`.
    Classifier,
    /// `[classes]`.
    ClassifierBias,
}

impl Part {
    /// The tensors before the first layer.
    pub const EMBEDDINGS: [Self; 5] = [
        Self::WordEmbedding,
        Self::PositionEmbedding,
        Self::KindEmbedding,
        Self::EmbeddingNormScale,
        Self::EmbeddingNormShift,
    ];

    /// The tensors of each encoder layer.
    pub const LAYER: [Self; 16] = [
        Self::Query,
        Self::QueryBias,
        Self::Key,
        Self::KeyBias,
        Self::Value,
        Self::ValueBias,
        Self::AttentionOut,
        Self::AttentionOutBias,
        Self::AttentionNormScale,
        Self::AttentionNormShift,
        Self::Up,
        Self::UpBias,
        Self::Down,
        Self::DownBias,
        Self::OutNormScale,
        Self::OutNormShift,
    ];

    /// The tensors of the pooler.
    pub const POOLER: [Self; 2] = [Self::Pooler, Self::PoolerBias];

    /// The tensors of the classifier.
    pub const CLASSIFIER: [Self; 2] = [Self::Classifier, Self::ClassifierBias];
}

/// Where a checkpoint keeps each part: its family's table, and how it was saved.
///
/// ```
/// use offramp_weights::{Family, Names, Part};
/// let names = Names::new(Family::Bert, true);
/// assert_eq!(names.of(Part::UpBias, 3), "bert.encoder.layer.3.intermediate.dense.bias");
/// assert_eq!(names.of(Part::Classifier, 0), "classifier.weight");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Names {
    family: Family,
    prefix: bool,
    head: bool,
}

impl Names {
    /// The names of a model with a head; with `prefix`, the encoder's begin with "bert." or the
    /// like, as they do in checkpoints that were saved with a head.
    pub fn new(family: Family, prefix: bool) -> Self {
        Self { family, prefix, head: true }
    }

    /// The names of the same model without a head: RoBERTa's pooler moves.
    pub fn without_head(self) -> Self {
        Self { head: false, ..self }
    }

    /// The name of `part`, in encoder layer `layer` where it belongs to one.
    pub fn of(&self, part: Part, layer: usize) -> String {
        if let Some(head) = self.head_name(part) {
            return head.into();
        }
        let name = match self.family {
            Family::Bert | Family::Roberta => bert(part),
            Family::DistilBert => distilbert(part),
        };
        let name = name.replace('#', &layer.to_string());
        if self.prefix { format!("{}.{name}", self.family) } else { name }
    }

    /// The tensor of `part`, by today's name or by the one that old checkpoints give to layer
    /// norms. Error: neither is there, or it is not a float tensor.
    pub fn find<'a>(&self, from: &'a Checkpoint, part: Part, layer: usize) -> Result<Tensor<'a>> {
        from.tensor(&self.spelt(from, part, layer))
    }

    /// The name of `part` as this checkpoint spells it.
    pub(crate) fn spelt(&self, from: &Checkpoint, part: Part, layer: usize) -> String {
        let name = self.of(part, layer);
        let old = old_name(part, &name).filter(|old| !from.has(&name) && from.has(old));
        old.unwrap_or(name)
    }

    /// Whether the encoder's names begin with its family's.
    pub(crate) fn has_prefix(&self) -> bool {
        self.prefix
    }

    /// The names that stand outside the encoder, and so never have the prefix.
    fn head_name(&self, part: Part) -> Option<&'static str> {
        let name = match (self.family, part) {
            (Family::Roberta, Part::Pooler) if self.head => "classifier.dense.weight",
            (Family::Roberta, Part::PoolerBias) if self.head => "classifier.dense.bias",
            (Family::Roberta, Part::Classifier) => "classifier.out_proj.weight",
            (Family::Roberta, Part::ClassifierBias) => "classifier.out_proj.bias",
            (Family::DistilBert, Part::Pooler) => "pre_classifier.weight",
            (Family::DistilBert, Part::PoolerBias) => "pre_classifier.bias",
            (Family::Bert | Family::DistilBert, Part::Classifier) => "classifier.weight",
            (Family::Bert | Family::DistilBert, Part::ClassifierBias) => "classifier.bias",
            _ => return None,
        };
        Some(name)
    }
}

/// Checkpoints converted from TensorFlow call a norm's scale gamma and its shift beta.
fn old_name(part: Part, name: &str) -> Option<String> {
    let (new, old) = match part {
        Part::EmbeddingNormScale | Part::AttentionNormScale | Part::OutNormScale => {
            ("weight", "gamma")
        }
        Part::EmbeddingNormShift | Part::AttentionNormShift | Part::OutNormShift => {
            ("bias", "beta")
        }
        _ => return None,
    };
    name.strip_suffix(new).map(|stem| format!("{stem}{old}"))
}

/// BERT's and RoBERTa's encoder; `#` stands for the layer.
fn bert(part: Part) -> &'static str {
    match part {
        Part::WordEmbedding => "embeddings.word_embeddings.weight",
        Part::PositionEmbedding => "embeddings.position_embeddings.weight",
        Part::KindEmbedding => "embeddings.token_type_embeddings.weight",
        Part::EmbeddingNormScale => "embeddings.LayerNorm.weight",
        Part::EmbeddingNormShift => "embeddings.LayerNorm.bias",
        Part::Query => "encoder.layer.#.attention.self.query.weight",
        Part::QueryBias => "encoder.layer.#.attention.self.query.bias",
        Part::Key => "encoder.layer.#.attention.self.key.weight",
        Part::KeyBias => "encoder.layer.#.attention.self.key.bias",
        Part::Value => "encoder.layer.#.attention.self.value.weight",
        Part::ValueBias => "encoder.layer.#.attention.self.value.bias",
        Part::AttentionOut => "encoder.layer.#.attention.output.dense.weight",
        Part::AttentionOutBias => "encoder.layer.#.attention.output.dense.bias",
        Part::AttentionNormScale => "encoder.layer.#.attention.output.LayerNorm.weight",
        Part::AttentionNormShift => "encoder.layer.#.attention.output.LayerNorm.bias",
        Part::Up => "encoder.layer.#.intermediate.dense.weight",
        Part::UpBias => "encoder.layer.#.intermediate.dense.bias",
        Part::Down => "encoder.layer.#.output.dense.weight",
        Part::DownBias => "encoder.layer.#.output.dense.bias",
        Part::OutNormScale => "encoder.layer.#.output.LayerNorm.weight",
        Part::OutNormShift => "encoder.layer.#.output.LayerNorm.bias",
        Part::Pooler => "pooler.dense.weight",
        Part::PoolerBias => "pooler.dense.bias",
        Part::Classifier => "classifier.weight",
        Part::ClassifierBias => "classifier.bias",
    }
}

/// DistilBERT's encoder; `#` stands for the layer.
fn distilbert(part: Part) -> &'static str {
    match part {
        Part::WordEmbedding => "embeddings.word_embeddings.weight",
        Part::PositionEmbedding => "embeddings.position_embeddings.weight",
        Part::KindEmbedding => "embeddings.token_type_embeddings.weight",
        Part::EmbeddingNormScale => "embeddings.LayerNorm.weight",
        Part::EmbeddingNormShift => "embeddings.LayerNorm.bias",
        Part::Query => "transformer.layer.#.attention.q_lin.weight",
        Part::QueryBias => "transformer.layer.#.attention.q_lin.bias",
        Part::Key => "transformer.layer.#.attention.k_lin.weight",
        Part::KeyBias => "transformer.layer.#.attention.k_lin.bias",
        Part::Value => "transformer.layer.#.attention.v_lin.weight",
        Part::ValueBias => "transformer.layer.#.attention.v_lin.bias",
        Part::AttentionOut => "transformer.layer.#.attention.out_lin.weight",
        Part::AttentionOutBias => "transformer.layer.#.attention.out_lin.bias",
        Part::AttentionNormScale => "transformer.layer.#.sa_layer_norm.weight",
        Part::AttentionNormShift => "transformer.layer.#.sa_layer_norm.bias",
        Part::Up => "transformer.layer.#.ffn.lin1.weight",
        Part::UpBias => "transformer.layer.#.ffn.lin1.bias",
        Part::Down => "transformer.layer.#.ffn.lin2.weight",
        Part::DownBias => "transformer.layer.#.ffn.lin2.bias",
        Part::OutNormScale => "transformer.layer.#.output_layer_norm.weight",
        Part::OutNormShift => "transformer.layer.#.output_layer_norm.bias",
        Part::Pooler => "pre_classifier.weight",
        Part::PoolerBias => "pre_classifier.bias",
        Part::Classifier => "classifier.weight",
        Part::ClassifierBias => "classifier.bias",
    }
}
