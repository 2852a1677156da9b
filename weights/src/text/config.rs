//! The keys of `config.json`, and the checks that make a spec of them.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::json::{self, Few};
use crate::keys;
use crate::model::{Input, ModelSpec, TextSpec, Told};
use crate::network::{Encoder, NormPlace};
use crate::spec::{
    HIDDEN_MAX, INTERMEDIATE_MAX, KINDS_MAX, LAYERS_MAX, NamedLabels, POSITIONS_MAX, ScoreKeys,
    VOCAB_MAX, activation, heads, labels, norm_eps, size,
};
use crate::text::family::Family;
use crate::tokenizer_config::bare_class;

const EPS_DEFAULT: f64 = 1e-12;

/// The keys that are read here; [`ScoreKeys`] has its own, and [`keys::text`] lists those that
/// change answers in ways that are not followed. Numbers are signed, so that a negative one is
/// refused by name.
#[derive(Deserialize)]
struct Config {
    model_type: Option<String>,
    architectures: Option<Few<String, 16>>,
    vocab_size: Option<i64>,
    max_position_embeddings: Option<i64>,
    pad_token_id: Option<i64>,
    tokenizer_class: Option<String>,
    id2label: Option<NamedLabels>,
    num_labels: Option<i64>,
    // BERT and RoBERTa.
    hidden_size: Option<i64>,
    num_hidden_layers: Option<i64>,
    num_attention_heads: Option<i64>,
    intermediate_size: Option<i64>,
    type_vocab_size: Option<i64>,
    layer_norm_eps: Option<f64>,
    hidden_act: Option<String>,
    // DistilBERT's own words for the same.
    dim: Option<i64>,
    n_layers: Option<i64>,
    n_heads: Option<i64>,
    hidden_dim: Option<i64>,
    activation: Option<String>,
}

pub(crate) fn parse(content: &[u8], file: &Path) -> Result<ModelSpec> {
    let mut config: Config = json::parse(content, file)?;
    let told =
        Told { classes: config.id2label.is_some() || config.num_labels.is_some(), channels: false };
    let labels = labels(config.id2label.take(), config.num_labels, file)?;
    let family = family(&config, file)?;
    check_kind(&config, family, content, file)?;
    let sizes = config.encoder(family, file)?;
    let text = config.text(family, file)?;
    let network = family.network(&sizes, &text, labels.len());
    let scores = ScoreKeys::parse(content, file)?;
    let name = family.model_type.to_owned();
    Ok(ModelSpec { name, input: Input::Tokens(text), network, labels, told, scores })
}

/// By `model_type`, or by the architecture's name in files older than that key.
fn family(config: &Config, file: &Path) -> Result<&'static Family> {
    let known = Family::ALL.map(|family| family.model_type).join(", ");
    let known = format!("one of {known}, resnet, vit, deit");
    if let Some(name) = &config.model_type {
        return Family::named(name)
            .ok_or_else(|| Error::refused(file, "model_type", known, format_args!("`{name}`")));
    }
    let found = architectures(config).find_map(family_of_architecture);
    found.ok_or_else(|| Error::refused(file, "model_type", known, "no such key"))
}

fn architectures(config: &Config) -> impl Iterator<Item = &str> {
    config.architectures.iter().flat_map(|list| &list.0).map(String::as_str)
}

fn family_of_architecture(name: &str) -> Option<&'static Family> {
    let is = |family: &&Family| {
        let rest = name.strip_prefix(family.class);
        rest.is_some_and(|rest| rest.starts_with("For") || rest == "Model")
    };
    Family::ALL.into_iter().find(is)
}

/// Refuses what these files can also describe, and this engine does not run.
fn check_kind(config: &Config, family: &Family, content: &[u8], file: &Path) -> Result<()> {
    keys::check(content, &[family.keys, keys::text::ENCODER, keys::text::COMMON], file)?;
    // Their classifiers bear the names of a sequence classifier's, and mean something else.
    let others = ["ForTokenClassification", "ForMultipleChoice"];
    match architectures(config).find(|name| others.iter().any(|other| name.ends_with(other))) {
        Some(name) => {
            let expected = "a sequence classifier or a bare encoder";
            Err(Error::refused(file, "architectures", expected, format_args!("`{name}`")))
        }
        None => Ok(()),
    }
}

impl Config {
    fn number(&self, key: &str) -> Option<i64> {
        match key {
            "hidden_size" => self.hidden_size,
            "num_hidden_layers" => self.num_hidden_layers,
            "num_attention_heads" => self.num_attention_heads,
            "intermediate_size" => self.intermediate_size,
            "type_vocab_size" => self.type_vocab_size,
            "dim" => self.dim,
            "n_layers" => self.n_layers,
            "n_heads" => self.n_heads,
            "hidden_dim" => self.hidden_dim,
            _ => None,
        }
    }

    fn encoder(&self, family: &Family, file: &Path) -> Result<Encoder> {
        let keys = &family.sizes;
        let at = |keys: &[&'static str], max| {
            let (key, value) = self.either(keys, file)?;
            size(file, key, value, max).map(|size| (key, size))
        };
        let (hidden_key, hidden) = at(keys.hidden, HIDDEN_MAX)?;
        let (heads_key, given) = self.either(keys.heads, file)?;
        let name = match keys.activation {
            "activation" => self.activation.as_deref(),
            _ => self.hidden_act.as_deref(),
        };
        let eps = keys.norm_eps.and(self.layer_norm_eps).unwrap_or(EPS_DEFAULT);
        Ok(Encoder {
            layers: at(keys.layers, LAYERS_MAX)?.1,
            hidden,
            heads: heads(file, heads_key, given, hidden_key, hidden)?,
            intermediate: at(keys.intermediate, INTERMEDIATE_MAX)?.1,
            norm_eps: norm_eps(eps, file)?,
            activation: activation((keys.activation, name), file)?,
            norm_place: NormPlace::Behind,
            has_qkv_bias: true,
        })
    }

    /// A size that may stand under one key or under another, which must then agree.
    fn either(&self, keys: &[&'static str], file: &Path) -> Result<(&'static str, Option<i64>)> {
        let mut given = keys.iter().filter_map(|key| Some((*key, self.number(key)?)));
        let Some((key, value)) = given.next() else { return Ok((keys[0], None)) };
        match given.find(|(_, other)| *other != value) {
            Some((other, found)) => {
                Err(Error::refused(file, other, format!("{value}, as `{key}`"), found))
            }
            None => Ok((key, Some(value))),
        }
    }

    fn text(&self, family: &'static Family, file: &Path) -> Result<TextSpec> {
        let vocab = size(file, "vocab_size", self.vocab_size, VOCAB_MAX)?;
        let key = "max_position_embeddings";
        let positions = size(file, key, self.max_position_embeddings, POSITIONS_MAX)?;
        let pad_token = pad_token(self, family, vocab, file)?;
        let kinds = family
            .sizes
            .kinds
            .map(|(key, usual)| size(file, key, self.number(key).or(Some(usual)), KINDS_MAX));
        Ok(TextSpec {
            family: family.model_type,
            tokenizer: family.tokenizer,
            vocab,
            positions,
            position_offset: position_offset(family, pad_token, positions, file)?,
            pad_token,
            kinds: kinds.unwrap_or(Ok(0))?,
            tokenizer_class: self.tokenizer_class.as_deref().map(bare_class),
        })
    }
}

fn pad_token(config: &Config, family: &Family, vocab: usize, file: &Path) -> Result<u32> {
    let id = config.pad_token_id.unwrap_or(family.pad_token);
    let fits = u32::try_from(id).ok().filter(|id| (*id as usize) < vocab);
    fits.ok_or_else(|| {
        let expected = format!("0 to {}, below vocab_size", vocab - 1);
        Error::refused(file, "pad_token_id", expected, id)
    })
}

fn position_offset(family: &Family, pad: u32, positions: usize, file: &Path) -> Result<usize> {
    let offset = if family.begins_behind_pad { pad as usize + 1 } else { 0 };
    if offset >= positions {
        let expected = format!("above {offset}, where the first token's position lies");
        return Err(Error::refused(file, "max_position_embeddings", expected, positions));
    }
    Ok(offset)
}
