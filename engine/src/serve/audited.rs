//! Counts what audits show, on the way to the replies.

use offramp_kernels::{Decision, ExitWindow};

use super::metrics::Metrics;
use crate::feedback::Feedback;
use crate::{Answer, Observation, Sink};

/// A sink in whose passing the rows of the sample are counted.
pub(super) struct Audited<'a, S> {
    pub(super) sink: &'a mut S,
    pub(super) metrics: &'a Metrics,
    pub(super) decision: Decision,
    /// By slot: what rows wish for themselves.
    pub(super) windows: &'a [ExitWindow],
}

impl<S: Sink> Sink for Audited<'_, S> {
    fn answer(&mut self, answer: Answer<'_>) {
        self.sink.answer(answer);
    }

    fn observe(&mut self, observation: Observation<'_>) {
        // A row with wishes of its own says nothing of what thresholds do to the others.
        let window = self.windows.get(observation.slot.0 as usize).copied();
        let is_plain = window.unwrap_or(ExitWindow::ANY) == ExitWindow::ANY;
        if is_plain && observation.is_sample && observation.final_label.is_some() {
            self.metrics.promise.audited.inc();
            let is_wrong = Feedback::of(&observation, 1).is_wrong(self.decision);
            self.metrics.promise.differing.inc_by(u64::from(is_wrong));
        }
        self.sink.observe(observation);
    }
}
