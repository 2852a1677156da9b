//! Vision transformers by timm and by Hugging Face (Dosovitskiy et al., arXiv 2010.11929; Touvron
//! et al., arXiv 2012.12877): patches are tokens behind a class token, norms stand before blocks.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::image::assemble::{counted_classes, finish, listed_labels};
use crate::image::preprocessing::{Pretrained, Usual, check_channels, order, scale};
use crate::json::{self, Few, Object};
use crate::keys::{self, images};
use crate::model::{ModelSpec, Preprocessing, Told};
use crate::network::{
    Conv, Encoder, Filter, Head, LayerNames, Linear, Network, Norm, NormPlace, Patches, Segment,
    Step,
};
use crate::spec::{
    self, HIDDEN_MAX, INTERMEDIATE_MAX, LAYERS_MAX, ListedLabels, NamedLabels, Pool, activation,
    labels, norm_eps, size,
};

/// The `model_type`s of Hugging Face that are read here.
pub(crate) const MODEL_TYPES: [&str; 2] = ["vit", "deit"];

/// Whose names tensors have.
struct Names {
    stem: &'static str,
    first: &'static [&'static str],
    position: &'static str,
    layer: LayerNames,
    norm: &'static str,
    head: &'static str,
}

const TIMM: Names = Names {
    stem: "patch_embed.proj",
    first: &["cls_token"],
    position: "pos_embed",
    layer: LayerNames {
        qkv: &["blocks.#.attn.qkv"],
        attention_out: "blocks.#.attn.proj",
        attention_norm: "blocks.#.norm1",
        up: "blocks.#.mlp.fc1",
        down: "blocks.#.mlp.fc2",
        out_norm: "blocks.#.norm2",
    },
    norm: "norm",
    head: "head",
};

/// Behind `vit.`.
const VIT: Names = Names {
    stem: "embeddings.patch_embeddings.projection",
    first: &["embeddings.cls_token"],
    position: "embeddings.position_embeddings",
    layer: LayerNames {
        qkv: &[
            "encoder.layer.#.attention.attention.query",
            "encoder.layer.#.attention.attention.key",
            "encoder.layer.#.attention.attention.value",
        ],
        attention_out: "encoder.layer.#.attention.output.dense",
        attention_norm: "encoder.layer.#.layernorm_before",
        up: "encoder.layer.#.intermediate.dense",
        down: "encoder.layer.#.output.dense",
        out_norm: "encoder.layer.#.layernorm_after",
    },
    norm: "layernorm",
    head: "classifier",
};

/// Behind `deit.`.
const DEIT: Names =
    Names { first: &["embeddings.cls_token", "embeddings.distillation_token"], ..VIT };

/// Sizes, and whose names they go with.
struct Vit<'a> {
    encoder: Encoder,
    /// Pixels of a side of a patch.
    patch: usize,
    names: &'a Names,
    prefix: String,
}

impl Vit<'_> {
    fn network(&self, input: &Preprocessing, classes: usize) -> Network {
        let Self { encoder, patch, names, prefix } = self;
        let width = encoder.hidden;
        let name = |stem: &str| format!("{prefix}{stem}");
        let stem = Step::Conv(Conv {
            filter: Filter::Trained {
                weight: name(&format!("{}.weight", names.stem)),
                bias: Some(name(&format!("{}.bias", names.stem))),
                norm: None,
            },
            inputs: input.channels,
            outputs: width,
            kernel: *patch,
            stride: *patch,
            padding: 0,
            relu: false,
        });
        let patches = Step::Patches(Patches {
            first: names.first.iter().map(|stem| name(stem)).collect(),
            position: name(names.position),
            tokens: names.first.len() + (input.height / patch) * (input.width / patch),
            width,
        });
        let layer = |number| Segment {
            name: format!("layer.{number}"),
            steps: encoder.layer(&names.layer, prefix, number),
        };
        let mut segments: Vec<Segment> = (0..encoder.layers).map(layer).collect();
        if let Some(first) = segments.first_mut() {
            first.steps.splice(0..0, [stem, patches]);
        }
        let norm = Step::Norm(Norm::of(&name(names.norm), width, encoder.norm_eps));
        let classifier = Linear::of(&[names.head.to_owned()], width, classes);
        let head = Head { pool: Pool::First, classifier: Some(classifier) };
        Network { segments, tail: vec![norm], head }
    }
}

/// Hidden width, layers and heads of the sizes that timm knows by name.
const SIZES: [(&str, [i64; 3]); 4] = [
    ("tiny", [192, 12, 3]),
    ("small", [384, 12, 6]),
    ("base", [768, 12, 12]),
    ("large", [1024, 24, 16]),
];

/// Whether an architecture is one of timm's vision transformers.
pub(crate) fn is_vit(architecture: &str) -> bool {
    named(architecture).is_some()
}

/// What timm takes for one of its vision transformers, by the name.
pub(super) fn usual(architecture: &str) -> Option<Usual> {
    let (_, _, side) = named(architecture)?;
    Some(Usual::of_transformer(usize::try_from(side).ok()?))
}

/// Of `vit_tiny_patch16_224`: hidden width, layers, heads, patch and side.
fn named(architecture: &str) -> Option<([i64; 3], i64, i64)> {
    let rest = ["vit_", "deit_"].iter().find_map(|start| architecture.strip_prefix(start))?;
    let (kind, rest) = rest.split_once("_patch")?;
    let (patch, side) = rest.split_once('_')?;
    let (_, sizes) = SIZES.into_iter().find(|(name, _)| *name == kind)?;
    Some((sizes, patch.parse().ok()?, side.parse().ok()?))
}

/// timm's `config.json`.
#[derive(Deserialize)]
struct Timm {
    architecture: String,
    num_classes: Option<i64>,
    label_names: Option<ListedLabels>,
    id2label: Option<NamedLabels>,
    pretrained_cfg: Option<Object<Pretrained>>,
    model_args: Option<Object<Args>>,
    channel_order: Option<String>,
}

/// What timm builds a transformer with.
#[derive(Deserialize, Default)]
struct Args {
    num_classes: Option<i64>,
    in_chans: Option<i64>,
    embed_dim: Option<i64>,
    depth: Option<i64>,
    num_heads: Option<i64>,
    mlp_ratio: Option<f64>,
    qkv_bias: Option<bool>,
    patch_size: Option<i64>,
}

pub(super) fn parse_timm(content: &[u8], file: &Path) -> Result<ModelSpec> {
    let mut config: Timm = json::parse(content, file)?;
    let flat = config.pretrained_cfg.is_none();
    let tables = [images::TIMM_VIT, keys::text::COMMON, images::PRETRAINED];
    keys::check(content, &tables[..if flat { 3 } else { 2 }], file)?;
    let mut pretrained = match config.pretrained_cfg.take() {
        Some(object) => object.0,
        None => json::parse(content, file)?,
    };
    let args = config.model_args.take().map(|args| args.0).unwrap_or_default();
    let Some((sizes, patch, side)) = named(&config.architecture) else {
        let found = format_args!("`{}`", config.architecture);
        return Err(Error::refused(file, "architecture", "a vision transformer", found));
    };
    let vit = args.vit(sizes, patch, file)?;
    let usual = Usual::of_transformer(size(file, "architecture", Some(side), HIDDEN_MAX)?);
    let mut input = pretrained.preprocessing(&usual, args.in_chans, file)?;
    input.order = order(config.channel_order.as_deref(), file)?;
    if !pretrained.tells_scale() && config.architecture.starts_with("vit_") {
        let half = Few(vec![0.5; input.channels]);
        scale(&mut input, ["mean", "std"], [Some(&half), Some(&half)], file)?;
    }
    let counted = counted_classes(config.num_classes, args.num_classes, file)?;
    let counted = counted.or(pretrained.num_classes);
    let listed = config.label_names.or(pretrained.take_labels());
    let told = Told {
        classes: counted.is_some() || listed.is_some() || config.id2label.is_some(),
        channels: args.in_chans.is_some() || pretrained.tells_channels(),
    };
    let labels = listed_labels(listed, config.id2label, counted, file)?;
    let network = vit.network(&input, labels.len());
    finish(config.architecture, input, network, labels, file).map(|spec| ModelSpec { told, ..spec })
}

impl Args {
    fn vit(&self, [hidden, layers, heads]: [i64; 3], patch: i64, file: &Path) -> Result<Vit<'_>> {
        let at = |key, value: Option<i64>, usual, max| {
            size(file, &format!("model_args.{key}"), value.or(Some(usual)), max)
        };
        let hidden = at("embed_dim", self.embed_dim, hidden, HIDDEN_MAX)?;
        let inner = (hidden as f64 * self.mlp_ratio.unwrap_or(4.0)) as i64;
        let (heads_key, given) = ("model_args.num_heads", self.num_heads.or(Some(heads)));
        let encoder = Encoder {
            layers: at("depth", self.depth, layers, LAYERS_MAX)?,
            hidden,
            heads: spec::heads(file, heads_key, given, "model_args.embed_dim", hidden)?,
            intermediate: at("mlp_ratio", None, inner, INTERMEDIATE_MAX)?,
            norm_eps: 1e-6,
            activation: activation(("act_layer", None), file)?,
            norm_place: NormPlace::Before,
            has_qkv_bias: self.qkv_bias.unwrap_or(true),
        };
        let patch = at("patch_size", self.patch_size, patch, HIDDEN_MAX)?;
        Ok(Vit { encoder, patch, names: &TIMM, prefix: String::new() })
    }
}

/// Hugging Face's `config.json` of `ViTForImageClassification` and `DeiTForImageClassification`.
#[derive(Deserialize)]
struct HuggingFace {
    model_type: String,
    hidden_size: Option<i64>,
    num_hidden_layers: Option<i64>,
    num_attention_heads: Option<i64>,
    intermediate_size: Option<i64>,
    hidden_act: Option<String>,
    layer_norm_eps: Option<f64>,
    image_size: Option<i64>,
    patch_size: Option<i64>,
    num_channels: Option<i64>,
    qkv_bias: Option<bool>,
    id2label: Option<NamedLabels>,
    num_labels: Option<i64>,
    channel_order: Option<String>,
}

pub(super) fn parse_hugging_face(content: &[u8], file: &Path) -> Result<ModelSpec> {
    let mut config: HuggingFace = json::parse(content, file)?;
    keys::check(content, &[images::HUGGING_FACE_VIT, keys::text::COMMON], file)?;
    let told = Told {
        classes: config.id2label.is_some() || config.num_labels.is_some(),
        channels: config.num_channels.is_some(),
    };
    let labels = labels(config.id2label.take(), config.num_labels, file)?;
    let side = size(file, "image_size", config.image_size.or(Some(224)), HIDDEN_MAX)?;
    let channels = check_channels("num_channels", config.num_channels.unwrap_or(3), file)?;
    let input = Preprocessing {
        order: order(config.channel_order.as_deref(), file)?,
        ..Usual::of_transformer(side).preprocessing(channels)
    };
    let network = config.vit(file)?.network(&input, labels.len());
    finish(config.model_type, input, network, labels, file).map(|spec| ModelSpec { told, ..spec })
}

impl HuggingFace {
    fn vit(&self, file: &Path) -> Result<Vit<'static>> {
        let at = |key, value: Option<i64>, usual, max| size(file, key, value.or(Some(usual)), max);
        let hidden = at("hidden_size", self.hidden_size, 768, HIDDEN_MAX)?;
        let heads = self.num_attention_heads.or(Some(12));
        let encoder = Encoder {
            layers: at("num_hidden_layers", self.num_hidden_layers, 12, LAYERS_MAX)?,
            hidden,
            heads: spec::heads(file, "num_attention_heads", heads, "hidden_size", hidden)?,
            intermediate: at("intermediate_size", self.intermediate_size, 3072, INTERMEDIATE_MAX)?,
            norm_eps: norm_eps(self.layer_norm_eps.unwrap_or(1e-12), file)?,
            activation: activation(("hidden_act", self.hidden_act.as_deref()), file)?,
            norm_place: NormPlace::Before,
            has_qkv_bias: self.qkv_bias.unwrap_or(true),
        };
        let names = if self.model_type == "deit" { &DEIT } else { &VIT };
        let patch = at("patch_size", self.patch_size, 16, HIDDEN_MAX)?;
        Ok(Vit { encoder, patch, names, prefix: format!("{}.", self.model_type) })
    }
}
