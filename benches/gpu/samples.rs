//! Quantiles of repeated measurements.

use serde::Serialize;

/// The middle of some samples, and the value that a tenth of them stay below.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p10: f64,
}

impl Quantiles {
    /// Of at least one sample.
    pub(crate) fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self { p50: samples[samples.len() / 2], p10: samples[samples.len() / 10] }
    }
}
