//! What a device must set aside before it can run a plan.

use std::fmt;

use crate::{Error, Result, Span};

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

    /// Fails unless `len` elements are whole rows that fit from `first_row` on; gives their number.
    pub(crate) fn check_rows(&self, first_row: usize, len: usize) -> Result<usize> {
        let (rows_max, columns) = self.shape();
        if columns == 0 || !len.is_multiple_of(columns) {
            return Err(Error::mismatch("weight", format_args!("rows of {columns}"), len));
        }
        let rows = len / columns;
        match first_row.checked_add(rows) {
            Some(end) if end <= rows_max => Ok(rows),
            _ => Err(Error::mismatch(
                "weight",
                format_args!("at most {rows_max} rows"),
                format_args!("{rows} rows from {first_row}"),
            )),
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

/// How many tokens each row has where an op stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowTokens {
    /// As many as it came with, or one behind a [`crate::Narrow`].
    Own,
    /// All the same number: the pixels of an image at the resolution reached.
    Each(usize),
}

impl RowTokens {
    /// Tokens of `rows` rows that came with `tokens`.
    pub(crate) fn of(self, rows: f64, tokens: f64) -> f64 {
        match self {
            Self::Own => tokens,
            Self::Each(each) => rows * each as f64,
        }
    }
}

/// Height and width of an image, or of a map of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
}

impl Grid {
    /// Number of pixels.
    pub fn pixels(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// What a window of `kernel` pixels a side leaves of it, `stride` apart, after `padding`
    /// pixels were added on each side. Sides shorter than the window give 0.
    pub fn windows(&self, kernel: usize, stride: usize, padding: usize) -> Self {
        let along = |side: usize| {
            let room = (side + 2 * padding).checked_sub(kernel);
            room.map_or(0, |room| room / stride.max(1) + 1)
        };
        Self { height: along(self.height), width: along(self.width) }
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// Everything a device allocates, once: see [`crate::Device::reserve`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ArenaLayout {
    /// Most rows there at once: slots.
    pub rows_max: usize,
    /// Most tokens there at once, all rows together: places. Images have one each.
    pub tokens_max: usize,
    /// Most groups there at once, one of which runs; 0 counts as 1.
    pub groups_max: usize,
    /// Most tokens of one row.
    pub row_tokens_max: usize,
    /// Bytes of an image: height x width x channels; 0 for a plan that reads text.
    pub row_pixels: usize,
    /// Tokens of each image behind a [`crate::Patches`], which its row is made of; 0 where images
    /// stay maps of pixels.
    pub image_tokens: usize,
    /// Elements of activation memory that the spans of the plan point into.
    pub activations: usize,
    /// Ramps plus the final exit: one past the highest [`crate::ExitId`].
    pub exits: usize,
    /// Widest logits vector of any exit.
    pub logits_max: usize,
    /// Widest vector inside a ramp (its pooled input or hidden layer).
    pub features_max: usize,
    /// Tables of moments by [`crate::MomentsId`]: elements of a vector of the value they are of.
    pub moments: Vec<usize>,
    /// The weights by [`WeightId`].
    pub weights: Vec<WeightForm>,
    /// Values that cross sites. They belong to slots, by place, and stay where they are while their
    /// rows are parked. No other value ever lies there: all others die with the step that made
    /// them.
    pub resident: Vec<Span>,
}

impl ArenaLayout {
    /// Elements that one place has in a resident value.
    pub(crate) fn place_width(&self, value: &Span) -> usize {
        value.len / self.tokens_max.max(1)
    }

    /// The most that one place has in any of them.
    pub(crate) fn resident_width(&self) -> usize {
        self.resident.iter().map(|value| self.place_width(value)).max().unwrap_or(0)
    }

    /// Fails unless `span` is a matrix of `tokens_max` rows, `width` wide, in the arena.
    pub(crate) fn check_matrix(&self, what: &'static str, span: Span, width: usize) -> Result<()> {
        span.check(what, self.tokens_max.saturating_mul(width), self.activations)
    }

    /// Fails unless `span` holds every row with its tokens, `width` wide, in the arena.
    pub(crate) fn check_rows(
        &self,
        what: &'static str,
        span: Span,
        tokens: RowTokens,
        width: usize,
    ) -> Result<()> {
        let tokens = match tokens {
            RowTokens::Own => self.tokens_max,
            RowTokens::Each(tokens) => self.rows_max.saturating_mul(tokens),
        };
        span.check(what, tokens.saturating_mul(width), self.activations)
    }

    /// Number of parameters of all weights.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(WeightForm::len).sum()
    }
}
