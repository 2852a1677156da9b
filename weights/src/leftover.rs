//! Tensors that a model has no place for.
//!
//! A checkpoint may hold more than its network reads: the head of its pretraining, counters. But a
//! tensor under the network's own names, or an adapter, was meant to change its answers.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::file::Checkpoint;
use crate::names::{Names, Part};
use crate::spec::{Family, TextSpec};

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

/// Buffers that transformers can make itself.
const BUFFERS: [&str; 2] = ["embeddings.position_ids", "embeddings.token_type_ids"];

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

/// Refuses a tensor under the model's own names that it does not read.
pub(crate) fn check_none(spec: &TextSpec, names: &Names, checkpoint: &Checkpoint) -> Result<()> {
    let spelt = |(part, layer)| names.spelt(checkpoint, part, layer);
    let used: BTreeSet<_> = Part::of(spec).map(spelt).collect();
    let pooler = Part::POOLER.map(|part| names.without_head().of(part, 0));
    let is_left = |name: &&str| {
        let is_harmless = pooler.iter().any(|own| own == name)
            || BUFFERS.iter().any(|buffer| name.ends_with(buffer));
        !used.contains(*name) && !is_harmless && is_own(name, spec.family, names)
    };
    match first(checkpoint.all_names().filter(is_left)) {
        None => Ok(()),
        Some(name) => Err(left(spec, checkpoint, name)),
    }
}

fn left(spec: &TextSpec, checkpoint: &Checkpoint, name: &str) -> Error {
    let expected = format!("no such tensor in a {} of {} layers", spec.family, spec.layers);
    let found = "one: the checkpoint is of another network".into();
    checkpoint.misfit(name, expected, found)
}

/// Whether a name is one that the model's own tensors could have.
fn is_own(name: &str, family: Family, names: &Names) -> bool {
    let heads = ["classifier.", "pre_classifier."];
    let bare = ["embeddings.", "encoder.", "transformer.", "pooler."];
    let prefix = family.model_type();
    let is_encoders = match names.has_prefix() {
        true => name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.')),
        false => bare.iter().any(|start| name.starts_with(start)),
    };
    is_encoders || heads.iter().any(|start| name.starts_with(start))
}
