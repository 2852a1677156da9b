//! Tensors that a model has no place for.
//!
//! A checkpoint may hold more than its network reads: the head of its pretraining, counters. But a
//! tensor under the network's own names, or an adapter, was meant to change its answers.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::file::Checkpoint;
use crate::model::{Input, ModelSpec};
use crate::text;

/// What the names of adapters contain: LoRA and its kin, bottlenecks, trained prompts.
const ADAPTERS: [&str; 16] = [
    "lora_",
    "adapter",
    ".base_layer.",
    "modules_to_save",
    "prefix_encoder",
    "prefix_tuning",
    "prompt_encoder",
    "prompt_embedding",
    "soft_prompt",
    "hada_w",
    "lokr_w",
    "ia3_",
    "oft_r",
    "boft_",
    "vera_lambda",
    "randlora_",
];

/// Refuses a checkpoint with adapters beside its weights, or around them.
pub(crate) fn check_no_adapters(checkpoint: &Checkpoint) -> Result<()> {
    let is_adapter = |name: &&str| ADAPTERS.iter().any(|part| name.contains(part));
    match first(checkpoint.all_names().filter(is_adapter)) {
        None => Ok(()),
        Some(name) => {
            let expected = "weights with nothing beside them".into();
            let found = "an adapter, which is not applied here: merge it into the weights \
                         (merge_and_unload of peft, merge_adapter of adapters) and save again";
            Err(checkpoint.misfit(name, expected, found.into()))
        }
    }
}

/// Parts that vision transformers of other kinds have, by how the names of their tensors begin.
const PARTS: [(&str, &str); 7] = [
    ("pre_logits", "a hidden layer before the head"),
    ("norm_pre", "a norm before the first block"),
    ("fc_norm", "a norm behind the mean of all tokens"),
    ("attn_pool", "a pool by attention"),
    ("head_dist", "the second head of a distilled model"),
    ("dist_token", "the token of a distilled model"),
    ("reg_token", "register tokens"),
];

/// Refuses a vision transformer with a part that is not run here: it would be passed over, or
/// whatever it changes would be called damaged.
pub(crate) fn check_no_parts(spec: &ModelSpec, checkpoint: &Checkpoint) -> Result<()> {
    if spec.network.image_tokens().is_none() {
        return Ok(());
    }
    let part = |name: &str| PARTS.iter().find(|(part, _)| name.split('.').next() == Some(part));
    match first(checkpoint.all_names().filter(|name| part(name).is_some())) {
        None => Ok(()),
        Some(name) => {
            let what = part(name).map_or("", |(_, what)| what);
            let expected = format!("no such tensor in a {}", spec.name());
            Err(checkpoint.misfit(name, expected, format!("{what}, which is not run here")))
        }
    }
}

/// The tensor to name: a weight says more than its bias.
fn first<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut other = None;
    for name in names {
        if name.ends_with("weight") {
            return Some(name);
        }
        other.get_or_insert(name);
    }
    other
}

/// Refuses a tensor whose name begins as the model's own do, and that it has no use for: the
/// checkpoint is of another network, which would run and answer nonsense.
pub(crate) fn check_none(spec: &ModelSpec, checkpoint: &Checkpoint) -> Result<()> {
    let used: BTreeSet<String> = spec.network.tensors().map(|form| form.name).collect();
    let mut roots: BTreeSet<&str> = used.iter().map(|name| root(name)).collect();
    roots.extend(spec.text().into_iter().flat_map(|text| text::roots(text, checkpoint)));
    let is_harmless = |name: &str| match &spec.input {
        Input::Tokens(text) => text::is_harmless(text, name),
        Input::Pixels(_) => name.ends_with("num_batches_tracked"),
    };
    let is_left =
        |name: &&str| !used.contains(*name) && !is_harmless(name) && roots.contains(root(name));
    match first(checkpoint.all_names().filter(is_left)) {
        None => Ok(()),
        Some(name) => {
            let (model, segments) = (spec.name(), spec.sites());
            let expected = format!("no such tensor in a {model} of {segments} segments");
            let found = "one: config.json is of another network".into();
            Err(checkpoint.misfit(name, expected, found))
        }
    }
}

/// The letters that a name begins with: `layer` of `layer1.0.conv1.weight`.
fn root(name: &str) -> &str {
    name.split(|c: char| c == '.' || c.is_ascii_digit()).next().unwrap_or(name)
}
