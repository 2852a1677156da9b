//! When to run what: pure, over whatever clock the caller has. Times are microseconds since a
//! start of the caller's choice.

mod batcher;
mod latency;
mod refusals;
#[cfg(test)]
mod tests;

pub use batcher::{Batcher, BatcherOptions, Next, Policy, Ticket};
pub use latency::{PassLatency, Work};
pub use refusals::Refusals;
