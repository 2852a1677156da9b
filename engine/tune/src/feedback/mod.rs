//! What rows showed, on its way from the executor to whoever learns from it: a bounded ring to
//! the control thread, which loses rows rather than make the executor wait, and record files.
//! Both hold the same words.

mod record;
mod ring;
mod words;

use offramp::{Decision, Observation, Seen};

pub use record::{RecordHeader, RecordReader, RecordWriter};
pub use ring::{FeedbackReader, FeedbackWriter, ring};

/// An [`Observation`] that stands by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Feedback {
    /// What the active ramps said that the row passed, in order.
    pub seen: Vec<Seen>,
    /// The exit that answered: a ramp's index, or the number of ramps for the final one.
    pub exit: u32,
    /// What the full model decided, where it is known.
    pub final_label: Option<u32>,
    /// Whether it was to run to the end before anything was known of it.
    pub is_sample: bool,
    /// Version of the thresholds it met.
    pub version: u64,
    /// Rows of its pass.
    pub pass_rows: u32,
}

impl Feedback {
    /// Of an observation in a pass of so many rows.
    pub fn of(observation: &Observation<'_>, pass_rows: u32) -> Self {
        let Observation { seen, exit, final_label, is_sample, version, .. } = *observation;
        Self { seen: seen.to_vec(), exit, final_label, is_sample, version, pass_rows }
    }

    /// The first ramp that decided what the full model did.
    pub fn first_right(&self, decision: Decision) -> Option<usize> {
        let full = self.final_label?;
        let first = self.seen.iter().find(|seen| decision.agree(seen.label, full));
        first.map(|seen| seen.ramp as usize)
    }

    /// Whether a ramp answered something else than the full model.
    pub fn is_wrong(&self, decision: Decision) -> bool {
        let label = self.seen.iter().find(|seen| seen.ramp == self.exit).map(|seen| seen.label);
        label.zip(self.final_label).is_some_and(|(early, full)| !decision.agree(early, full))
    }
}
