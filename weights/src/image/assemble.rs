//! From sizes that either dialect gives to a whole spec.

use std::path::Path;

use crate::error::{Error, Result};
use crate::image::architecture::Architecture;
use crate::image::build::{Naming, build};
use crate::model::{Input, ModelSpec, Preprocessing, Told};
use crate::spec::{LAYERS_MAX, ScoreKeys, size};

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
    }
    Ok(())
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
