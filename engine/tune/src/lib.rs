//! Knows when rows run and where they may leave: schedules, thresholds within a promise about
//! agreement, and how they follow the workload; never requests, connections or bytes on a wire.
//!
//! All of it is pure, without clock, thread or device, but for [`adapt`], which has one control
//! thread, and [`profile`], which measures.
#![forbid(unsafe_code)]

pub mod adapt;
mod bound;
mod controller;
mod error;
pub mod feedback;
mod fit;
mod latency;
mod manager;
pub mod profile;
mod promise;
mod rehearse;
mod replay;
pub mod sched;
pub mod search;
mod tuner;
mod window;

pub use bound::clopper_pearson_upper;
pub use controller::Controller;
pub use error::{Error, Result};
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
