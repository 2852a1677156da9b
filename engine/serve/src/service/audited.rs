//! Counts what audits show, on the way to the replies.

use offramp::{Answer, Decision, ExitWindow, Observation, Sink};
use offramp_tune::feedback::Feedback;

use crate::metrics::Metrics;

/// A sink in whose passing the rows of the sample are counted.
pub(crate) struct Audited<'a, S> {
    pub(crate) sink: &'a mut S,
    pub(crate) metrics: &'a Metrics,
    pub(crate) decision: Decision,
    /// By row of the batch: its own constraints.
    pub(crate) windows: &'a [ExitWindow],
}

impl<S: Sink> Sink for Audited<'_, S> {
    fn answer(&mut self, answer: Answer<'_>) {
        self.sink.answer(answer);
    }

    fn observe(&mut self, observation: Observation<'_>) {
        // A row with constraints of its own says nothing of what thresholds do to the others.
        let window = self.windows.get(observation.row).copied();
        let is_plain = window.unwrap_or(ExitWindow::ANY) == ExitWindow::ANY;
        if is_plain && observation.is_sample && observation.final_label.is_some() {
            self.metrics.promise.audited.inc();
            let is_wrong = Feedback::of(&observation, 1).is_wrong(self.decision);
            self.metrics.promise.differing.inc_by(u64::from(is_wrong));
        }
        self.sink.observe(observation);
    }
}
