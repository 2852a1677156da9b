//! How a service batches, and how much it holds.

use std::time::Duration;

use offramp::AfterExit;
use offramp_tune::sched::Policy;

use crate::error::{Error, Result};

/// How a service works.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// When a batch is ready.
    pub policy: Policy,
    /// Whether rows that leave early are counted on for deadlines.
    pub counts_exits: bool,
    /// Of a deadline, what is left for the way back to the client, at most half of it.
    pub margin: Duration,
    /// What becomes of answered rows.
    pub after_exit: AfterExit,
    /// Requests that may wait, at least 1; beyond, they are refused.
    pub queue_max: usize,
    /// At the end, longest wait for accepted work, and for clients to take their replies.
    pub drain_timeout: Duration,
    /// Under compaction and with exits that stay as they are: the share of rows that run to the
    /// end anyway, from 0 to 1, so that it is seen whether the exits still agree with the full
    /// model.
    pub audit_rate: f64,
    /// Lines lost by whoever writes the log, for the metrics.
    pub log_lines_dropped: fn() -> u64,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            policy: Policy::Deadline,
            counts_exits: false,
            margin: Duration::from_millis(1),
            after_exit: AfterExit::Compact,
            queue_max: 1024,
            drain_timeout: Duration::from_secs(30),
            audit_rate: 0.0,
            log_lines_dropped: || 0,
        }
    }
}

impl ServiceOptions {
    /// Refuses what nothing could be served with.
    pub(crate) fn check(&self) -> Result<()> {
        let Self { queue_max, audit_rate, .. } = *self;
        if queue_max == 0 {
            return Err(Error::refused("queue_max", "at least 1", queue_max));
        }
        // NaN is in no range.
        if !(0.0..=1.0).contains(&audit_rate) {
            return Err(Error::refused("audit_rate", "from 0 to 1", audit_rate));
        }
        Ok(())
    }
}
