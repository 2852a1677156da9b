//! The `offramp` command as a user meets it: the real binary, its output and its exit codes.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is its point")]

mod classify;
mod convert;
#[cfg(feature = "cuda")]
mod cuda;
mod deploy;
mod errors;
mod hostile;
mod idle;
mod images;
mod labels;
mod load;
mod log;
mod pictures;
mod ramps;
mod reload;
mod running;
mod serve;
mod shown;
mod soak;
mod start;
mod stream;
mod support;
mod tasks;
mod tune;
