//! Chooses thresholds within a promise about agreement. Pure: no clock, thread or device.

mod allocate;
mod bound;
mod calibration;
mod fit;

pub use bound::clopper_pearson_upper;
pub use calibration::{Calibration, CalibrationError, OFF, Replay, replay};
pub use fit::{Fitted, Goal, fit, fit_tested};
