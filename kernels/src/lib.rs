//! Ops and the devices that run them.
//!
//! This crate knows two things: the closed set of operations a plan is made of ([`Op`]) and the
//! machines that execute it ([`Device`]). It knows no models, policies, requests or files, and it
//! is the only crate of the workspace that contains `unsafe`.
//!
//! # Threads
//!
//! A device belongs to one thread, the executor. The CPU device drives a fixed team of workers
//! that it started itself; they run only while [`Device::issue`] is on the stack.
//!
//! ```text
//! executor ── issue(op) ──► team: worker 0 = executor, workers 1..n claim tiles of the op
//! ```

mod cost;
pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod error;
mod layout;
mod op;
mod ops;
mod pass;
mod slots;
mod span;
mod watched;
mod weight_data;

pub use cost::Cost;
pub use device::{Device, Preferences};
pub use error::{Error, Result};
pub use layout::{ArenaLayout, Grid, RowTokens, WeightForm, WeightId};
pub use op::Op;
pub use ops::{
    Activation, Attention, Compact, Conv2d, Decision, Embed, Fold, Hidden, Linear, LinearNorms,
    MomentsId, Narrow, Norm, NormWeights, Normalised, Patches, Pixels, Pool, Pool2d, Ramp,
    RampHead, Standardised, Window,
};
pub use pass::{
    Admission, ExitId, ExitRecord, ExitWindow, LiveBound, RowInput, RowSlot, Score, Token,
};
pub use slots::{GroupId, Room};
pub use span::Span;
pub use watched::{Watch, Watched};
pub use weight_data::WeightData;
