//! What the control thread has come to, for whoever watches it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::{Evidence, Goal};

/// Written by the control thread, read by anybody.
#[derive(Debug)]
pub struct Standing {
    goal: Goal,
    /// The bits of a number.
    at_most: AtomicU64,
    rows: AtomicUsize,
    lines_lost: AtomicU64,
}

impl Standing {
    pub(super) fn new(goal: Goal) -> Self {
        let at_most = AtomicU64::new(1.0_f64.to_bits());
        Self { goal, at_most, rows: AtomicUsize::new(0), lines_lost: AtomicU64::new(0) }
    }

    /// What is promised.
    pub fn goal(&self) -> &Goal {
        &self.goal
    }

    /// What the window shows of the thresholds in force, as of its last look.
    pub fn evidence(&self) -> Evidence {
        let disagreement_at_most = f64::from_bits(self.at_most.load(Ordering::Relaxed));
        Evidence { rows: self.rows.load(Ordering::Relaxed), disagreement_at_most }
    }

    /// Decisions that could not be written to the journal.
    pub fn journal_lines_lost(&self) -> u64 {
        self.lines_lost.load(Ordering::Relaxed)
    }

    pub(super) fn set_evidence(&self, evidence: Evidence) {
        self.at_most.store(evidence.disagreement_at_most.to_bits(), Ordering::Relaxed);
        self.rows.store(evidence.rows, Ordering::Relaxed);
    }

    pub(super) fn lose_line(&self) {
        self.lines_lost.fetch_add(1, Ordering::Relaxed);
    }
}
