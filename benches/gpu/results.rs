//! What is measured, as it is written.

use serde::Serialize;

use crate::samples::Quantiles;

/// A ramp's way to the host.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerTime {
    pub(crate) model: &'static str,
    pub(crate) rows: usize,
    pub(crate) row_tokens: usize,
    pub(crate) issue_to_last_answer_us: Quantiles,
}

/// One variant of a forward at one shape.
#[derive(Debug, Serialize)]
pub(crate) struct ForwardTime {
    pub(crate) model: &'static str,
    pub(crate) rows: usize,
    pub(crate) row_tokens: usize,
    pub(crate) exits: &'static str,
    pub(crate) after_exit: &'static str,
    pub(crate) runs: usize,
    /// Times that rows were packed, in the last pass.
    pub(crate) compactions: usize,
    pub(crate) pass_ms: Quantiles,
    /// On the device's clock, in passes of their own.
    pub(crate) device_ms: Quantiles,
    /// From the start of the pass until the host has its first answer.
    pub(crate) first_answer_ms: Quantiles,
    /// Mean over rows of the time until the host has the row's answer.
    pub(crate) mean_answer_ms: Quantiles,
}

impl ForwardTime {
    /// Without exits, and without knowing the next batch.
    pub(crate) fn is_plain(&self) -> bool {
        self.exits == "off" && self.after_exit == "release"
    }
}

/// One kernel at one shape.
#[derive(Debug, Serialize)]
pub(crate) struct KernelTime {
    pub(crate) model: &'static str,
    pub(crate) kernel: &'static str,
    pub(crate) rows: usize,
    pub(crate) row_tokens: usize,
    /// Outputs and inputs of a product.
    pub(crate) n: Option<usize>,
    pub(crate) k: Option<usize>,
    pub(crate) time_us: Quantiles,
    pub(crate) tflops: f64,
    /// Operands and results once each.
    pub(crate) gbytes_per_s: f64,
    /// Of the whole result, in the Euclidean norm.
    pub(crate) relative_error: f64,
    /// Of its worst element.
    pub(crate) element_error: f64,
    /// Of one set of operands.
    pub(crate) set_bytes: usize,
    pub(crate) sets: usize,
}

/// How far logits are from what they should be.
#[derive(Debug, Serialize)]
pub(crate) struct Agreement {
    pub(crate) model: &'static str,
    pub(crate) rows: usize,
    pub(crate) row_tokens: usize,
    pub(crate) against: &'static str,
    pub(crate) relative_error: f64,
}
