//! Trains ramps for a model from unlabelled inputs, against the model's own soft outputs.
//!
//! The backbone is frozen: a forward per batch watches the pooled features of every site, then
//! each ramp is a small problem of its own. Thresholds are fitted afterwards on inputs that the
//! ramps have not learnt from, with the ramps as the device runs them.

mod adamw;
mod calibrate;
mod check;
mod error;
mod network;
mod probe;
mod problem;
mod split;
mod standardise;
mod thresholds;
mod train;

pub use error::TrainError;
pub use network::Layer;
pub use probe::{Progress, RampOptions, TrainedRamps, train_ramps};
pub use problem::{Features, Settings, Targets};
pub use split::{ROWS_MIN, Split};
pub use thresholds::{FitOptions, fit_thresholds};
pub use train::{Epoch, Trained, train};
