//! What the control thread has come to, for whoever watches it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::{Evidence, Goal};

/// Written by the control thread, read by anybody.
#[derive(Debug)]
pub struct Standing {
    goal: Goal,
    /// The bits of a number.
    at_most: AtomicU64,
    rows: AtomicUsize,
    lines_lost: AtomicU64,
    has_ended: AtomicBool,
    /// Wakes whoever watches; one word of it is enough until it is heard.
    news: Sender<()>,
}

impl Standing {
    /// Of a control thread that has not looked yet, and where it is told that something is new.
    pub(super) fn new(goal: Goal) -> (Self, Receiver<()>) {
        let (news, heard) = bounded(1);
        let standing = Self {
            goal,
            at_most: AtomicU64::new(1.0_f64.to_bits()),
            rows: AtomicUsize::new(0),
            lines_lost: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
            news,
        };
        (standing, heard)
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
        self.tell();
    }

    pub(super) fn lose_line(&self) {
        self.lines_lost.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Whether the control thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.tell();
    }

    fn tell(&self) {
        // Full: whoever watches has yet to hear the last one, and will find this too.
        let _ = self.news.try_send(());
    }
}
