//! What comes out of a pass.

use std::fmt;
use std::time::Duration;

use offramp_kernels::RowSlot;

/// Takes what a pass gives. Called on the executor's thread: be quick.
pub trait Sink {
    /// A row's answer, as soon as it is known. Exactly once for each row. A call that is about one
    /// group tells of its rows only; [`Engine::drain`](crate::Engine::drain) tells of all.
    fn answer(&mut self, answer: Answer<'_>);

    /// What a row showed, when its group has finished. Exactly once for each row.
    fn observe(&mut self, observation: Observation<'_>) {
        let _ = observation;
    }
}

impl<F: FnMut(Answer<'_>)> Sink for F {
    fn answer(&mut self, answer: Answer<'_>) {
        self(answer);
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// The ramp at this site.
    Site(usize),
    /// The model's own head.
    Final,
}

impl fmt::Display for Exit {
    /// The site's number, or `final`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => site.fmt(f),
            Self::Final => f.write_str("final"),
        }
    }
}

/// The answer to one row.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its index in the batch that it came with.
    pub row: usize,
    /// Its slot: tells apart the rows of several batches.
    pub slot: RowSlot,
    /// What was decided: the most probable class; a set of labels or a number as
    /// [`Decision`](offramp_kernels::Decision) says.
    pub label: u32,
    /// Its score in [0, 1], by the policy in force.
    pub score: f32,
    /// Where it left.
    pub exit: Exit,
    /// Share of the layers it had run by then.
    pub depth: f64,
    /// One number per class, temperature applied.
    pub logits: &'a [f32],
    /// False where a logit was NaN or infinite: label and score mean nothing.
    pub is_finite: bool,
}

/// What one active ramp said about a row that passed it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The ramp: its index among the plan's ramps.
    pub ramp: u32,
    /// What it decided.
    pub label: u32,
    /// Its score.
    pub score: f32,
}

/// What one row showed: the raw material of tuning.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Its index in the batch that it came with.
    pub row: usize,
    /// Its slot: tells apart the rows of several batches.
    pub slot: RowSlot,
    /// The active ramps it passed, in order.
    pub seen: &'a [Seen],
    /// The exit that answered: a ramp's index, or the number of ramps for the final one.
    pub exit: u32,
    /// What the full model decided, where the row ran to the end and it is known.
    pub final_label: Option<u32>,
    /// Whether it was to run to the end before anything was known of it. Such rows are a fair
    /// sample of all: those that merely never left are harder than most.
    pub is_sample: bool,
    /// Version of the thresholds it met.
    pub version: u64,
}

/// What a pass did, or a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PassReport {
    /// Rows answered.
    pub rows: usize,
    /// Tokens of all rows.
    pub tokens: usize,
    /// Segments that ran for at least one row.
    pub segments: usize,
    /// Sum over segments of the tokens that were alive in them.
    pub token_segments: usize,
    /// Times the rows were packed.
    pub compactions: usize,
    /// Rows with NaN or infinite logits at some exit.
    pub not_finite: usize,
    /// From the admission of the rows, of a gathered group that of its first, to the last answer.
    /// Whatever ran while they were parked is part of it.
    pub elapsed: Duration,
    /// How long the device was at a pass by its own clock, without the upload of the rows. `None`
    /// without [`Engine::time_passes`](crate::Engine::time_passes), on a CPU, and from
    /// [`Engine::finish`](crate::Engine::finish).
    pub device_elapsed: Option<Duration>,
}

impl PassReport {
    /// Adds what another group did before it became one with this.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.rows += other.rows;
        self.tokens += other.tokens;
        self.segments += other.segments;
        self.token_segments += other.token_segments;
        self.compactions += other.compactions;
    }
}
