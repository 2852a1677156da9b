//! From sizes that either dialect gives to a whole spec.

use std::path::Path;

use crate::error::{Error, Result};
use crate::image::architecture::Architecture;
use crate::image::build::{Naming, build};
use crate::model::{Input, ModelSpec, Preprocessing, Told};
use crate::network::{Network, Step};
use crate::spec::{
    CLASSES_MAX, LAYERS_MAX, ListedLabels, NamedLabels, ScoreKeys, generic, in_order, size,
};

/// Most stages of a network.
pub(super) const STAGES_MAX: usize = 8;

/// The whole spec, as if nobody told of sizes. Error: an input that is too small for the network.
pub(super) fn assemble(
    name: String,
    architecture: &Architecture,
    naming: Naming,
    preprocessing: Preprocessing,
    labels: Vec<String>,
    file: &Path,
) -> Result<ModelSpec> {
    let network = build(architecture, naming, preprocessing.channels, labels.len());
    finish(name, preprocessing, network, labels, file)
}

/// A whole spec of a network. Error: an input that does not fit it.
pub(super) fn finish(
    name: String,
    preprocessing: Preprocessing,
    network: Network,
    labels: Vec<String>,
    file: &Path,
) -> Result<ModelSpec> {
    let spec = ModelSpec {
        name,
        input: Input::Pixels(preprocessing),
        network,
        labels,
        told: Told::default(),
        scores: ScoreKeys::default(),
    };
    check_map(&spec, "input_size", file)?;
    Ok(spec)
}

/// Refuses an input of which a pool or a convolution leaves nothing.
pub(super) fn check_map(spec: &ModelSpec, key: &str, file: &Path) -> Result<()> {
    let Input::Pixels(Preprocessing { height, width, .. }) = spec.input else { return Ok(()) };
    let mut map = (height, width);
    for (place, step) in spec.network.steps() {
        map = step.map(map).filter(|map| map.0 > 0 && map.1 > 0).ok_or_else(|| {
            let expected = format!("large enough for {}: {place} is left with nothing", spec.name);
            Error::refused(file, key, expected, format_args!("{height}x{width}"))
        })?;
        if let Step::Patches(patches) = step
            && patches.first.len() + map.0 * map.1 != patches.tokens
        {
            let expected = format!("of {} patches, as positions are", patches.tokens);
            return Err(Error::refused(file, key, expected, format_args!("{height}x{width}")));
        }
    }
    Ok(())
}

/// Classes where nothing tells: ImageNet's.
const CLASSES_DEFAULT: usize = 1_000;

/// `num_classes`, from where timm's file has it and from where timm builds a network with it.
pub(super) fn counted_classes(
    outer: Option<i64>,
    args: Option<i64>,
    file: &Path,
) -> Result<Option<i64>> {
    match (outer, args) {
        (Some(count), Some(found)) if count != found => {
            let expected = format!("{count}, as `num_classes`");
            Err(Error::refused(file, "model_args.num_classes", expected, found))
        }
        (outer, args) => Ok(outer.or(args)),
    }
}

/// Names in the order of the classes; their number must be `num_classes` where both are given.
pub(super) fn listed_labels(
    listed: Option<ListedLabels>,
    named: Option<NamedLabels>,
    counted: Option<i64>,
    file: &Path,
) -> Result<Vec<String>> {
    let counted = counted.map(|count| size(file, "num_classes", Some(count), CLASSES_MAX));
    let counted = counted.transpose()?;
    let (key, labels) = match (listed, named) {
        (Some(listed), _) => ("label_names", listed.in_order(file)?),
        (None, Some(named)) => ("id2label", in_order(named, file)?),
        (None, None) => return Ok(generic(counted.unwrap_or(CLASSES_DEFAULT))),
    };
    if labels.is_empty() {
        return Err(Error::refused(file, key, "one label or more", "none"));
    }
    match counted {
        Some(count) if count != labels.len() => {
            let expected = format!("{}, the number of entries in `{key}`", labels.len());
            Err(Error::refused(file, "num_classes", expected, count))
        }
        _ => Ok(labels),
    }
}

/// As many depths as widths, and not too many blocks in all.
pub(super) fn check_stages(
    depths: &[usize],
    widths: &[usize],
    widths_key: &str,
    file: &Path,
) -> Result<()> {
    if depths.is_empty() {
        return Err(Error::refused(file, "depths", "one stage or more", "none"));
    }
    if depths.len() != widths.len() {
        let expected = format!("as many stages as `depths`, {}", depths.len());
        return Err(Error::refused(file, widths_key, expected, widths.len()));
    }
    let blocks: usize = depths.iter().sum();
    if blocks > LAYERS_MAX {
        let expected = format!("at most {LAYERS_MAX} in all");
        return Err(Error::refused(file, "depths", expected, blocks));
    }
    Ok(())
}

/// Sizes of 1 to `max`.
pub(super) fn sizes(file: &Path, key: &str, values: &[i64], max: usize) -> Result<Vec<usize>> {
    values.iter().map(|value| size(file, key, Some(*value), max)).collect()
}
