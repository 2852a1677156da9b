//! Knows how ramps are trained from unlabelled inputs, against the model's own soft outputs, and
//! how their thresholds are fitted; never requests or servers.
//!
//! The backbone is frozen: a forward per batch watches the pooled features of every site, then
//! each ramp is a small problem of its own. Thresholds are fitted afterwards on inputs that the
//! ramps have not learnt from, with the ramps as the device runs them.

#![forbid(unsafe_code)]

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

pub use error::{Error, Result, TrainError};
pub use network::Layer;
pub use probe::{Progress, RampOptions, TrainedRamps, train_ramps};
pub use problem::{Features, Settings, Targets};
pub use split::{ROWS_MIN, Split};
pub use thresholds::{FitOptions, fit_thresholds};
pub use train::{Epoch, Trained, train};
