//! What all models share: activations, labels, pools, bounds of sizes, and what the numbers of a
//! classifier mean.

mod activation;
mod labels;
mod pool;
mod task;

use std::path::Path;

use crate::error::{Error, Result};

pub use crate::folder::CONFIG_FILE;
pub use activation::{Activation, UnknownActivation};
pub(crate) use labels::{ListedLabels, NamedLabels, generic, in_order, labels, refit};
pub use pool::Pool;
pub use task::{Link, Problem, ScoreKeys, Task};

/// Most encoder layers of a model.
pub const LAYERS_MAX: usize = 128;
/// Widest hidden state of a model, elements.
pub const HIDDEN_MAX: usize = 16_384;
/// Most classes of a head.
pub const CLASSES_MAX: usize = 65_536;
pub(crate) const INTERMEDIATE_MAX: usize = 131_072;
pub(crate) const VOCAB_MAX: usize = 4 << 20;
pub(crate) const POSITIONS_MAX: usize = 65_536;
pub(crate) const KINDS_MAX: usize = 1_024;

/// A size of 1 to `max`.
pub(crate) fn size(file: &Path, key: &str, value: Option<i64>, max: usize) -> Result<usize> {
    let expected = || format!("1 to {max}");
    let Some(value) = value else {
        return Err(Error::refused(file, key, expected(), "no such key"));
    };
    let fits = usize::try_from(value).ok().filter(|size| (1..=max).contains(size));
    fits.ok_or_else(|| Error::refused(file, key, expected(), value))
}

/// Attention heads: a divisor of the width `hidden`, which stands under `hidden_key`.
pub(crate) fn heads(
    file: &Path,
    key: &str,
    value: Option<i64>,
    hidden_key: &str,
    hidden: usize,
) -> Result<usize> {
    let heads = size(file, key, value, hidden)?;
    if hidden.is_multiple_of(heads) {
        return Ok(heads);
    }
    let expected = format!("a divisor of {hidden_key}, which is {hidden}");
    Err(Error::refused(file, key, expected, heads))
}

/// An activation by its name; GELU where there is none.
pub(crate) fn activation((key, name): (&str, Option<&str>), file: &Path) -> Result<Activation> {
    let name = name.unwrap_or("gelu");
    name.parse().map_err(|_| {
        Error::refused(file, key, UnknownActivation::expected(), format_args!("`{name}`"))
    })
}

/// What a norm adds to the variance.
pub(crate) fn norm_eps(eps: f64, file: &Path) -> Result<f32> {
    let single = eps as f32;
    // Zero would divide by zero on a constant row. A NaN fails both comparisons.
    if single > 0.0 && single < 1.0 {
        return Ok(single);
    }
    Err(Error::refused(file, "layer_norm_eps", "above 0 and below 1", eps))
}
