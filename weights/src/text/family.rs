//! The families: one table each. To add one that is shaped as BERT is, add a table.

use std::fmt;

use crate::keys::{self, Key};
use crate::model::TextSpec;
use crate::network::{Embed, Encoder, Head, LayerNames, Linear, Network, Norm, Segment, Step};
use crate::spec::{Activation, Pool};

/// A family of encoders: what its configurations say, and how its tensors are called.
///
/// ```
/// use offramp_weights::Family;
/// assert_eq!(Family::named("roberta").unwrap().to_string(), "roberta");
/// assert!(Family::named("llama").is_none());
/// ```
#[derive(Debug)]
pub struct Family {
    /// As configurations call it; tensors of its encoder begin so in checkpoints with a head.
    pub model_type: &'static str,
    /// The kind of tokenizer where no file names one.
    pub(super) tokenizer: &'static str,
    /// How its classes in transformers begin.
    pub(super) class: &'static str,
    /// Its own keys, beside those of all encoders.
    pub(super) keys: &'static [Key],
    pub(super) sizes: SizeKeys,
    /// The pad token where the configuration names none.
    pub(super) pad_token: i64,
    /// Whether positions begin behind the pad token's id.
    pub(super) begins_behind_pad: bool,
    embedding: EmbeddingNames,
    layer: LayerNames,
    pub(super) head: HeadNames,
}

/// The keys of sizes; of two, either may stand there.
#[derive(Debug)]
pub(super) struct SizeKeys {
    pub(super) layers: &'static [&'static str],
    pub(super) hidden: &'static [&'static str],
    pub(super) heads: &'static [&'static str],
    pub(super) intermediate: &'static [&'static str],
    pub(super) activation: &'static str,
    /// Kinds of tokens, and their usual number.
    pub(super) kinds: Option<(&'static str, i64)>,
    /// What norms add to the variance, where a key tells.
    pub(super) norm_eps: Option<&'static str>,
}

/// Tensors before the first layer.
#[derive(Debug)]
struct EmbeddingNames {
    word: &'static str,
    position: &'static str,
    kind: &'static str,
    norm: Option<&'static str>,
}

/// Tensors behind the last layer, by the beginnings of their whole names.
#[derive(Debug)]
pub(super) struct HeadNames {
    /// The dense layer on the first token.
    pub(super) dense: &'static str,
    /// The same in a model without a classifier.
    pub(super) pooler: &'static str,
    pub(super) activation: Activation,
    pub(super) classifier: &'static str,
}

const EMBEDDING: EmbeddingNames = EmbeddingNames {
    word: "embeddings.word_embeddings.weight",
    position: "embeddings.position_embeddings.weight",
    kind: "embeddings.token_type_embeddings.weight",
    norm: Some("embeddings.LayerNorm"),
};

const BERT_SIZES: SizeKeys = SizeKeys {
    layers: &["num_hidden_layers"],
    hidden: &["hidden_size"],
    heads: &["num_attention_heads"],
    intermediate: &["intermediate_size"],
    activation: "hidden_act",
    kinds: Some(("type_vocab_size", 2)),
    norm_eps: Some("layer_norm_eps"),
};

const BERT_LAYER: LayerNames = LayerNames {
    qkv: &[
        "encoder.layer.#.attention.self.query",
        "encoder.layer.#.attention.self.key",
        "encoder.layer.#.attention.self.value",
    ],
    attention_out: "encoder.layer.#.attention.output.dense",
    attention_norm: "encoder.layer.#.attention.output.LayerNorm",
    up: "encoder.layer.#.intermediate.dense",
    down: "encoder.layer.#.output.dense",
    out_norm: "encoder.layer.#.output.LayerNorm",
};

static BERT: Family = Family {
    model_type: "bert",
    tokenizer: "Bert",
    class: "Bert",
    keys: keys::text::BERT,
    sizes: BERT_SIZES,
    pad_token: 0,
    begins_behind_pad: false,
    embedding: EMBEDDING,
    layer: BERT_LAYER,
    head: HeadNames {
        dense: "bert.pooler.dense",
        pooler: "bert.pooler.dense",
        activation: Activation::Tanh,
        classifier: "classifier",
    },
};

static ROBERTA: Family = Family {
    model_type: "roberta",
    tokenizer: "Roberta",
    class: "Roberta",
    keys: keys::text::BERT,
    sizes: BERT_SIZES,
    pad_token: 1,
    begins_behind_pad: true,
    embedding: EMBEDDING,
    layer: BERT_LAYER,
    head: HeadNames {
        dense: "classifier.dense",
        pooler: "roberta.pooler.dense",
        activation: Activation::Tanh,
        classifier: "classifier.out_proj",
    },
};

static DISTILBERT: Family = Family {
    model_type: "distilbert",
    tokenizer: "Bert",
    class: "DistilBert",
    keys: keys::text::DISTILBERT,
    sizes: SizeKeys {
        layers: &["n_layers", "num_hidden_layers"],
        hidden: &["dim", "hidden_size"],
        heads: &["n_heads", "num_attention_heads"],
        intermediate: &["hidden_dim"],
        activation: "activation",
        kinds: None,
        norm_eps: None,
    },
    pad_token: 0,
    begins_behind_pad: false,
    embedding: EMBEDDING,
    layer: LayerNames {
        qkv: &[
            "transformer.layer.#.attention.q_lin",
            "transformer.layer.#.attention.k_lin",
            "transformer.layer.#.attention.v_lin",
        ],
        attention_out: "transformer.layer.#.attention.out_lin",
        attention_norm: "transformer.layer.#.sa_layer_norm",
        up: "transformer.layer.#.ffn.lin1",
        down: "transformer.layer.#.ffn.lin2",
        out_norm: "transformer.layer.#.output_layer_norm",
    },
    head: HeadNames {
        dense: "pre_classifier",
        pooler: "pre_classifier",
        activation: Activation::Relu,
        classifier: "classifier",
    },
};

impl Family {
    /// All families.
    pub const ALL: [&'static Self; 3] = [&BERT, &ROBERTA, &DISTILBERT];

    /// The family by its `model_type`.
    pub fn named(model_type: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|family| family.model_type == model_type)
    }

    /// The network of a classifier with `classes`, as checkpoints with a head name its tensors.
    pub(super) fn network(&self, sizes: &Encoder, text: &TextSpec, classes: usize) -> Network {
        let prefix = format!("{}.", self.model_type);
        let layer = |number| Segment {
            name: format!("layer.{number}"),
            steps: sizes.layer(&self.layer, &prefix, number),
        };
        let mut segments: Vec<Segment> = (0..sizes.layers).map(layer).collect();
        if let Some(first) = segments.first_mut() {
            first.steps.insert(0, Step::Embed(self.embed(sizes, text, &prefix)));
        }
        let dense = Linear::of(&[self.head.dense.to_owned()], sizes.hidden, sizes.hidden);
        let dense = Linear { activation: Some(self.head.activation), ..dense };
        let classifier = Linear::of(&[self.head.classifier.to_owned()], sizes.hidden, classes);
        let head = Head { pool: Pool::First, classifier: Some(classifier) };
        Network { segments, tail: vec![Step::Linear(dense)], head }
    }

    fn embed(&self, sizes: &Encoder, text: &TextSpec, prefix: &str) -> Embed {
        let EmbeddingNames { word, position, kind, norm } = self.embedding;
        let name = |name: &str| format!("{prefix}{name}");
        Embed {
            word: name(word),
            position: name(position),
            kind: (text.kinds > 0).then(|| name(kind)),
            norm: norm.map(|norm| Norm::of(&name(norm), sizes.hidden, sizes.norm_eps)),
            width: sizes.hidden,
            rows: [text.vocab, text.positions, text.kinds],
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type)
    }
}
