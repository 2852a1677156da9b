//! What goes wrong beside the requests: lost lines, refused connections, panics.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::{Error, IntCounter, IntCounterVec};

use super::families::Families;

/// Parts of a service whose panics are counted.
const PARTS: [&str; 7] = [
    "executor",
    "accept loop",
    "health port",
    "control thread",
    "session",
    "health request",
    "reload",
];

/// Counters that ought to stay at 0.
pub(crate) struct Losses {
    pub(crate) feedback: IntCounter,
    pub(crate) journal: IntCounter,
    /// By port.
    accepts: IntCounterVec,
    /// By part of the service.
    panics: IntCounterVec,
    log: IntCounter,
    log_counted: AtomicU64,
}

impl Losses {
    pub(super) fn new(families: &Families<'_>) -> Result<Self, Error> {
        let panics =
            families.counters("offramp_panics_total", "Panics by part of the service", "part")?;
        // From 0 on: a counter that begins with 1 shows no increase.
        PARTS.iter().for_each(|part| drop(panics.with_label_values(&[part])));
        Ok(Self {
            feedback: families.counter(
                "offramp_feedback_lost_total",
                "Rows lost on the way to the control thread",
            )?,
            journal: families.counter(
                "offramp_journal_lines_lost_total",
                "Decisions that could not be written to the journal",
            )?,
            accepts: families.counters(
                "offramp_accept_failures_total",
                "Connections that could not be accepted",
                "port",
            )?,
            panics,
            log: families.counter(
                "offramp_log_lines_dropped_total",
                "Log lines that nobody took in time, or that could not be written",
            )?,
            log_counted: AtomicU64::new(0),
        })
    }

    /// A part of the service has panicked.
    pub(crate) fn panicked(&self, part: &str) {
        self.panics.with_label_values(&[part]).inc();
    }

    /// The counter of a port.
    pub(crate) fn accepts(&self, port: &str) -> IntCounter {
        self.accepts.with_label_values(&[port])
    }

    /// So many lines of the log in all: whoever writes it counts them.
    pub(crate) fn set_log_lines(&self, lines: u64) {
        let before = self.log_counted.fetch_max(lines, Ordering::AcqRel);
        self.log.inc_by(lines.saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::*;

    #[test]
    fn lines_counted_elsewhere_are_counted_once_whoever_looks() {
        let registry = Registry::new();
        let losses = Losses::new(&Families(&registry)).unwrap();
        [3, 5, 4, 5, 9].into_iter().for_each(|lines| losses.set_log_lines(lines));
        assert_eq!(losses.log.get(), 9);
    }
}
