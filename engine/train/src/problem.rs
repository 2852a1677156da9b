//! What a ramp learns from, and how.

use offramp::Decision;

/// Pooled features at one site.
#[derive(Debug, Clone, Copy)]
pub struct Features<'a> {
    /// Features of one row.
    pub width: usize,
    /// `[rows, width]`, row-major.
    pub values: &'a [f32],
}

/// The full model's soft output.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// Classes the model tells apart.
    pub classes: usize,
    /// `[rows, classes]`, row-major; each row sums to 1 where classes exclude each other.
    pub probabilities: &'a [f32],
    /// What the model decides by them, and when two answers are the same.
    pub decision: Decision,
}

/// How a ramp is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Units of a hidden layer with ReLU; none for a linear ramp.
    pub hidden: Option<usize>,
    /// Epochs after which training ends in any case.
    pub epochs_max: usize,
    /// Rows in a batch. Never more than a 32nd of the training part (but at least 8), so that few
    /// rows still make enough steps.
    pub batch_rows: usize,
    /// Peak of the learning-rate schedule; none for 0.06 / sqrt(width), which kept linear ramps of
    /// 8 to 384 features near their best.
    pub learning_rate: Option<f32>,
    /// Weight decays tried one after the other; the best held-out loss is kept. Time grows with
    /// their number.
    pub weight_decays: Vec<f32>,
    /// Epochs without a better held-out loss before a run ends.
    pub patience_epochs: usize,
    /// Seed of the initial weights and of the order of batches.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hidden: None,
            epochs_max: 80,
            batch_rows: 64,
            learning_rate: None,
            weight_decays: vec![0.01, 0.3, 3.0],
            patience_epochs: 10,
            seed: 0,
        }
    }
}

impl Settings {
    pub(crate) fn rate(&self, width: usize) -> f32 {
        self.learning_rate.unwrap_or(0.06 / (width as f32).sqrt())
    }

    pub(crate) fn batch(&self, rows: usize) -> usize {
        self.batch_rows.min((rows / 32).max(8)).min(rows)
    }
}
