//! The keys of `config.json`, and the checks that make a spec of them.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::json::{self, Few};
use crate::keys;
use crate::spec::labels::{NamedLabels, labels};
use crate::spec::{
    Activation, Family, HIDDEN_MAX, INTERMEDIATE_MAX, KINDS_MAX, LAYERS_MAX, POSITIONS_MAX,
    ScoreKeys, TextSpec, UnknownActivation, VOCAB_MAX,
};
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

/// The keys that a family spells in its own way.
struct Sizes<'a> {
    layers: (&'static str, Option<i64>),
    hidden: (&'static str, Option<i64>),
    heads: (&'static str, Option<i64>),
    intermediate: (&'static str, Option<i64>),
    kinds: usize,
    norm_eps: f64,
    activation: (&'static str, Option<&'a str>),
}

pub(crate) fn parse(content: &[u8], file: &Path) -> Result<TextSpec> {
    let mut config: Config = json::parse(content, file)?;
    let labels_are_told = config.id2label.is_some() || config.num_labels.is_some();
    let labels = labels(config.id2label.take(), config.num_labels, file)?;
    let family = family(&config, file)?;
    check_kind(&config, family, content, file)?;
    let sizes = sizes(&config, family, file)?;
    let at = |(key, value): (&str, Option<i64>), max| size(file, key, value, max);
    let hidden = at(sizes.hidden, HIDDEN_MAX)?;
    let heads = at(sizes.heads, hidden)?;
    if !hidden.is_multiple_of(heads) {
        let expected = format!("a divisor of {}, which is {hidden}", sizes.hidden.0);
        return Err(Error::refused(file, sizes.heads.0, expected, heads));
    }
    let vocab = at(("vocab_size", config.vocab_size), VOCAB_MAX)?;
    let positions = at(("max_position_embeddings", config.max_position_embeddings), POSITIONS_MAX)?;
    let pad_token = pad_token(&config, family, vocab, file)?;
    Ok(TextSpec {
        family,
        layers: at(sizes.layers, LAYERS_MAX)?,
        hidden,
        heads,
        intermediate: at(sizes.intermediate, INTERMEDIATE_MAX)?,
        vocab,
        positions,
        position_offset: position_offset(family, pad_token, positions, file)?,
        pad_token,
        kinds: sizes.kinds,
        norm_eps: norm_eps(sizes.norm_eps, file)?,
        activation: activation(sizes.activation, file)?,
        has_pooler: true,
        classes: labels.len(),
        labels,
        labels_are_told,
        tokenizer_class: config.tokenizer_class.as_deref().map(bare_class),
        scores: ScoreKeys::parse(content, file)?,
    })
}

/// By `model_type`, or by the architecture's name in files older than that key.
fn family(config: &Config, file: &Path) -> Result<Family> {
    let known = Family::ALL.map(Family::model_type).join(", ");
    let known = format!("one of {known}, resnet");
    if let Some(name) = &config.model_type {
        let family = Family::ALL.into_iter().find(|family| family.model_type() == name);
        return family
            .ok_or_else(|| Error::refused(file, "model_type", known, format_args!("`{name}`")));
    }
    let found = architectures(config).find_map(family_of_architecture);
    found.ok_or_else(|| Error::refused(file, "model_type", known, "no such key"))
}

fn architectures(config: &Config) -> impl Iterator<Item = &str> {
    config.architectures.iter().flat_map(|list| &list.0).map(String::as_str)
}

fn family_of_architecture(name: &str) -> Option<Family> {
    let families =
        [("Bert", Family::Bert), ("Roberta", Family::Roberta), ("DistilBert", Family::DistilBert)];
    let is = |start| {
        let rest: Option<&str> = name.strip_prefix(start);
        rest.is_some_and(|rest| rest.starts_with("For") || rest == "Model")
    };
    families.into_iter().find(|(start, _)| is(*start)).map(|(_, family)| family)
}

/// Refuses what these files can also describe, and this engine does not run.
fn check_kind(config: &Config, family: Family, content: &[u8], file: &Path) -> Result<()> {
    let own = match family {
        Family::Bert | Family::Roberta => keys::text::BERT,
        Family::DistilBert => keys::text::DISTILBERT,
    };
    keys::check(content, &[own, keys::text::ENCODER, keys::text::COMMON], file)?;
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

fn sizes<'a>(config: &'a Config, family: Family, file: &Path) -> Result<Sizes<'a>> {
    if family == Family::DistilBert {
        let either = |own, other| either(own, other, file);
        return Ok(Sizes {
            layers: either(
                ("n_layers", config.n_layers),
                ("num_hidden_layers", config.num_hidden_layers),
            )?,
            hidden: either(("dim", config.dim), ("hidden_size", config.hidden_size))?,
            heads: either(
                ("n_heads", config.n_heads),
                ("num_attention_heads", config.num_attention_heads),
            )?,
            intermediate: ("hidden_dim", config.hidden_dim),
            kinds: 0,
            norm_eps: EPS_DEFAULT,
            activation: ("activation", config.activation.as_deref()),
        });
    }
    let kinds = config.type_vocab_size.or(Some(2));
    Ok(Sizes {
        layers: ("num_hidden_layers", config.num_hidden_layers),
        hidden: ("hidden_size", config.hidden_size),
        heads: ("num_attention_heads", config.num_attention_heads),
        intermediate: ("intermediate_size", config.intermediate_size),
        kinds: size(file, "type_vocab_size", kinds, KINDS_MAX)?,
        norm_eps: config.layer_norm_eps.unwrap_or(EPS_DEFAULT),
        activation: ("hidden_act", config.hidden_act.as_deref()),
    })
}

/// A size that may stand under its own key or under BERT's, which must then agree.
fn either(
    own: (&'static str, Option<i64>),
    other: (&'static str, Option<i64>),
    file: &Path,
) -> Result<(&'static str, Option<i64>)> {
    match (own.1, other.1) {
        (None, Some(_)) => Ok(other),
        (Some(size), Some(found)) if size != found => {
            Err(Error::refused(file, other.0, format!("{size}, as `{}`", own.0), found))
        }
        _ => Ok(own),
    }
}

/// A size of 1 to `max`.
pub(crate) fn size(file: &Path, key: &str, value: Option<i64>, max: usize) -> Result<usize> {
    let expected = || format!("1 to {max}");
    let Some(value) = value else {
        return Err(Error::refused(file, key, expected(), "no such key"));
    };
    let fits = usize::try_from(value).ok().filter(|size| (1..=max).contains(size));
    fits.ok_or_else(|| Error::refused(file, key, expected(), value))
}

fn pad_token(config: &Config, family: Family, vocab: usize, file: &Path) -> Result<u32> {
    let default = if family == Family::Roberta { 1 } else { 0 };
    let id = config.pad_token_id.unwrap_or(default);
    let fits = u32::try_from(id).ok().filter(|id| (*id as usize) < vocab);
    fits.ok_or_else(|| {
        let expected = format!("0 to {}, below vocab_size", vocab - 1);
        Error::refused(file, "pad_token_id", expected, id)
    })
}

fn position_offset(family: Family, pad: u32, positions: usize, file: &Path) -> Result<usize> {
    let offset = if family == Family::Roberta { pad as usize + 1 } else { 0 };
    if offset >= positions {
        let expected = format!("above {offset}, where the first token's position lies");
        return Err(Error::refused(file, "max_position_embeddings", expected, positions));
    }
    Ok(offset)
}

fn norm_eps(eps: f64, file: &Path) -> Result<f32> {
    let single = eps as f32;
    // Zero would divide by zero on a constant row. A NaN fails both comparisons.
    if single > 0.0 && single < 1.0 {
        return Ok(single);
    }
    Err(Error::refused(file, "layer_norm_eps", "above 0 and below 1", eps))
}

fn activation((key, name): (&str, Option<&str>), file: &Path) -> Result<Activation> {
    let name = name.unwrap_or("gelu");
    name.parse().map_err(|_| {
        Error::refused(file, key, UnknownActivation::expected(), format_args!("`{name}`"))
    })
}
