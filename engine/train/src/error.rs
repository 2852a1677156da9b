//! Why ramps could not be trained, or thresholds not be fitted.

use crate::split::ROWS_MIN;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why it could not be done as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine, its device or its model.
    #[error(transparent)]
    Engine(#[from] offramp::Error),
    /// What was seen of the inputs is not whole.
    #[error(transparent)]
    Window(#[from] offramp_tune::WindowError),
    /// A row cannot be run.
    #[error("input {index}: {source}")]
    Input {
        /// Which row.
        index: usize,
        /// Why not.
        source: offramp::InputError,
    },
    /// A ramp could not be trained.
    #[error("site {site}: {source}")]
    Ramp {
        /// Where it was to stand.
        site: usize,
        /// Why not.
        source: TrainError,
    },
}

impl Error {
    /// The model lacks what the call needs.
    pub(crate) fn unfit(model: &offramp::Model, message: String) -> Self {
        offramp::Error::Unfit { model: model.dir().to_owned(), message }.into()
    }

    /// As [`offramp::Error::is_lasting`].
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Engine(error) if error.is_lasting())
    }
}

/// Why a ramp could not be trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A part of the split is too small to learn from or to judge on.
    #[error("the {part} part holds {rows} rows, the least is {ROWS_MIN}")]
    TooFewRows {
        /// "training" or "held-out".
        part: &'static str,
        /// Rows it holds.
        rows: usize,
    },
    /// A feature is NaN or infinite: usually the model overflowed at this site.
    #[error("feature {feature} of row {row} is {value}")]
    FeatureNotFinite {
        /// Row of the features.
        row: usize,
        /// Column of the features.
        feature: usize,
        /// What it is.
        value: f32,
    },
    /// A row of targets is not a probability distribution: usually logits given without softmax.
    #[error("targets of row {row} are no probabilities: {why}")]
    NotProbabilities {
        /// Row of the targets.
        row: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Features, targets and split do not describe the same rows.
    #[error("sizes disagree: {what} is {found}, expected {expected}")]
    Size {
        /// The size in question.
        what: &'static str,
        /// Its value.
        found: usize,
        /// What the others ask for.
        expected: usize,
    },
    /// The split names a row that does not exist, or names one twice.
    #[error("row {row} of the split {why}")]
    SplitRow {
        /// The row named.
        row: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that no training can follow.
    #[error("setting {name} {why}")]
    Setting {
        /// The field of [`Settings`](crate::Settings).
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No weight decay gave a finite loss: the learning rate is too high.
    #[error("training diverged at learning rate {learning_rate}")]
    Diverged {
        /// The rate tried.
        learning_rate: f32,
    },
}
