//! How checkpoints of encoders over text spell the names of their tensors.

use crate::error::Result;
use crate::file::Checkpoint;
use crate::model::{ModelSpec, TextSpec};
use crate::network::Step;
use crate::spec::Pool;
use crate::text::family::Family;

/// Sets names by what is there. Known variants: a bare encoder, whose names lack the family's
/// prefix and whose pooler may lie elsewhere or nowhere, and layer norms as old checkpoints call
/// their tensors.
pub(crate) fn fit(spec: &mut ModelSpec, text: &TextSpec, checkpoint: &Checkpoint) -> Result<()> {
    let Some(family) = Family::named(text.family) else { return Ok(()) };
    let names = Variant { family, checkpoint, has_prefix: has_prefix(text.family, checkpoint) };
    if checkpoint.get(&format!("{}.weight", family.head.classifier))?.is_none() {
        names.take_head_off(spec);
    }
    for step in spec.network.leaves_mut() {
        step.names_mut().into_iter().for_each(|name| *name = names.bare(name));
        match step {
            Step::Norm(norm) => names.fit_norm(&mut norm.scale, &mut norm.shift),
            Step::Embed(embed) => {
                let norm = embed.norm.iter_mut();
                norm.for_each(|norm| names.fit_norm(&mut norm.scale, &mut norm.shift));
            }
            _ => {}
        }
    }
    Ok(())
}

fn has_prefix(family: &str, checkpoint: &Checkpoint) -> bool {
    checkpoint.all_names().any(|name| without_prefix(family, name).is_some())
}

fn without_prefix<'a>(family: &str, name: &'a str) -> Option<&'a str> {
    name.strip_prefix(family)?.strip_prefix('.')
}

/// How one checkpoint spells the names.
struct Variant<'a> {
    family: &'static Family,
    checkpoint: &'a Checkpoint,
    /// Whether the encoder's names begin with its family's.
    has_prefix: bool,
}

impl Variant<'_> {
    /// The name as it is in this checkpoint.
    fn bare(&self, name: &str) -> String {
        let bare = without_prefix(self.family.model_type, name).filter(|_| !self.has_prefix);
        bare.unwrap_or(name).to_owned()
    }

    /// A model without a classifier gives out the first token's vector behind its pooler, or the
    /// mean of all where it has none.
    fn take_head_off(&self, spec: &mut ModelSpec) {
        let pooler = self.family.head.pooler;
        spec.labels.clear();
        spec.network.head.classifier = None;
        if !self.checkpoint.has(&self.bare(&format!("{pooler}.weight"))) {
            spec.network.tail.clear();
            spec.network.head.pool = Pool::Mean;
        }
        for step in &mut spec.network.tail {
            let Step::Linear(dense) = step else { continue };
            dense.weights = vec![format!("{pooler}.weight")];
            dense.biases = vec![format!("{pooler}.bias")];
        }
    }

    /// Checkpoints converted from TensorFlow call a norm's scale gamma and its shift beta.
    fn fit_norm(&self, scale: &mut String, shift: &mut String) {
        for (name, new, old) in [(scale, "weight", "gamma"), (shift, "bias", "beta")] {
            let stem = name.strip_suffix(new).unwrap_or(name);
            let other = format!("{stem}{old}");
            if !self.checkpoint.has(name) && self.checkpoint.has(&other) {
                *name = other;
            }
        }
    }
}

/// The beginnings of names that only tensors of such a model could have.
pub(crate) fn roots(text: &TextSpec, checkpoint: &Checkpoint) -> Vec<&'static str> {
    let heads = ["classifier", "pre_classifier"];
    let bare = ["embeddings", "encoder", "transformer", "pooler"];
    match has_prefix(text.family, checkpoint) {
        true => [&heads[..], &[text.family]].concat(),
        false => [&heads[..], &bare].concat(),
    }
}

/// Whether a tensor changes nothing: a buffer that transformers can make itself, or the pooler of
/// pretraining, which a classifier with a dense layer of its own does not read.
pub(crate) fn is_harmless(text: &TextSpec, name: &str) -> bool {
    let bare = without_prefix(text.family, name).unwrap_or(name);
    let pooler = Family::named(text.family).map_or("", |family| family.head.pooler);
    let pooler = without_prefix(text.family, pooler).unwrap_or(pooler);
    let is_poolers =
        bare.strip_prefix(pooler).is_some_and(|part| [".weight", ".bias"].contains(&part));
    is_poolers || ["embeddings.position_ids", "embeddings.token_type_ids"].contains(&bare)
}
