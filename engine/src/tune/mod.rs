//! Chooses thresholds within a promise about agreement. Pure: no clock, thread or device.

mod bound;
mod controller;
mod fit;
mod latency;
mod manager;
mod promise;
mod rehearse;
mod replay;
pub mod search;
mod tuner;
mod window;

pub use bound::clopper_pearson_upper;
pub use controller::Controller;
pub use fit::{Fitted, Goal, fit, fit_tested};
pub use latency::Latency;
pub use manager::{Manager, ManagerOptions};
pub use promise::{Proposal, propose};
pub use rehearse::{Conditions, Fate, Rehearsal, rehearse, rehearse_fixed};
pub use replay::{Replay, exits, replay};
pub use tuner::{Change, Evidence, Reason, Tuner, TunerOptions};
pub use window::{OFF, Window, WindowError};

#[cfg(test)]
mod tests;
