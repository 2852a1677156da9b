//! What the control thread has come to, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::tune::Goal;

/// Written by the control thread, read by anybody.
#[derive(Debug)]
pub struct Standing {
    goal: Goal,
    /// The bits of a number; NaN where nothing is known.
    at_most: AtomicU64,
    lines_lost: AtomicU64,
}

impl Standing {
    pub(super) fn new(goal: Goal) -> Self {
        Self { goal, at_most: AtomicU64::new(f64::NAN.to_bits()), lines_lost: AtomicU64::new(0) }
    }

    /// What is promised.
    pub fn goal(&self) -> &Goal {
        &self.goal
    }

    /// What the disagreement of the thresholds in force is at most, at the goal's confidence: as
    /// they were chosen, or as half a window or more has shown since. None until either is known.
    pub fn disagreement_at_most(&self) -> Option<f64> {
        let at_most = f64::from_bits(self.at_most.load(Ordering::Relaxed));
        (!at_most.is_nan()).then_some(at_most)
    }

    /// Decisions that could not be written to the journal.
    pub fn journal_lines_lost(&self) -> u64 {
        self.lines_lost.load(Ordering::Relaxed)
    }

    pub(super) fn set_at_most(&self, at_most: Option<f64>) {
        self.at_most.store(at_most.unwrap_or(f64::NAN).to_bits(), Ordering::Relaxed);
    }

    pub(super) fn lose_line(&self) {
        self.lines_lost.fetch_add(1, Ordering::Relaxed);
    }
}
