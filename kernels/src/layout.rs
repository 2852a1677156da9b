//! What a device must set aside before it can run a plan.

use std::fmt;

/// Names one weight of a plan: its index in [`ArenaLayout::weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

impl fmt::Display for WeightId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// The role of a weight, which decides how a device stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightForm {
    /// The right-hand side of a [`crate::Linear`]: `[n, k]` row-major as checkpoints have it
    /// (`y = x · Wᵀ`). Devices repack it once, when it is loaded.
    Matrix {
        /// Outputs.
        n: usize,
        /// Inputs.
        k: usize,
    },
    /// Rows to look up: `[rows, width]`, stored as it comes.
    Table {
        /// Number of rows.
        rows: usize,
        /// Elements of a row.
        width: usize,
    },
    /// A bias, scale or shift.
    Vector {
        /// Number of elements.
        len: usize,
    },
}

impl WeightForm {
    /// Rows and columns as they are loaded; a vector is one row.
    pub fn shape(&self) -> (usize, usize) {
        match *self {
            Self::Matrix { n, k } => (n, k),
            Self::Table { rows, width } => (rows, width),
            Self::Vector { len } => (1, len),
        }
    }

    /// Number of parameters.
    pub fn len(&self) -> usize {
        let (rows, columns) = self.shape();
        rows * columns
    }

    /// Whether it holds no parameter at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Everything a device allocates, once: see [`crate::Device::reserve`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ArenaLayout {
    /// Most rows in a pass.
    pub rows_max: usize,
    /// Most tokens in a pass, all rows together.
    pub tokens_max: usize,
    /// Most tokens of one row.
    pub row_tokens_max: usize,
    /// Elements of activation memory that the spans of the plan point into.
    pub activations: usize,
    /// Ramps plus the final exit: one past the highest [`crate::ExitId`].
    pub exits: usize,
    /// Widest logits vector of any exit.
    pub logits_max: usize,
    /// Widest vector inside a ramp (its pooled input or hidden layer).
    pub features_max: usize,
    /// The weights by [`WeightId`].
    pub weights: Vec<WeightForm>,
}

impl ArenaLayout {
    /// Number of parameters of all weights.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(WeightForm::len).sum()
    }
}
