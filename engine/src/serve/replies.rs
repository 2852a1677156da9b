//! What a pass gives, as replies: each sent the moment it is known.

use super::inbox::Job;
use super::protocol::{Failure, Phase, Status, Verdict};
use super::state::State;
use crate::softmax::softmax_into;
use crate::{Answer, Engine, Exit, Observation, Sink};

/// An early answer whose confirmation is due.
struct Open {
    slot: usize,
    early: Verdict,
    final_label: Option<u32>,
}

/// Sends answers the moment they are known.
pub(super) struct Replies<'a> {
    state: &'a State,
    rows: Vec<Option<Box<Job>>>,
    open: Vec<Open>,
    version: u64,
    started_us: u64,
}

impl<'a> Replies<'a> {
    pub(super) fn new(
        state: &'a State,
        rows: Vec<Option<Box<Job>>>,
        version: u64,
        started_us: u64,
    ) -> Self {
        Self { state, rows, open: Vec::new(), version, started_us }
    }

    fn verdict(&self, job: &Job, answer: &Answer<'_>) -> Verdict {
        let queue_us = self.started_us.saturating_sub(job.arrival_us);
        Verdict {
            phase: if answer.exit == Exit::Final { Phase::Final } else { Phase::Early },
            label: answer.label,
            score: answer.score,
            exit: answer.exit,
            depth: answer.depth as f32,
            queue_us: queue_us.min(u64::from(u32::MAX)) as u32,
            compute_us: (self.state.now_us() - self.started_us) as u32,
            threshold_version: self.version,
            top: top(answer.logits, usize::from(job.options.top)),
        }
    }

    /// Tells those who asked for it what the full model says.
    pub(super) fn confirm(self, engine: &Engine) {
        let Self { state, mut rows, open, started_us, .. } = self;
        for Open { slot, early, final_label } in open {
            let Some(job) = rows[slot].take() else { continue };
            let logits = engine.logits(engine.plan().ramps(), crate::RowSlot(slot as u32));
            let Some(label) = final_label else {
                let message = "the full model's logits are not finite";
                job.promise.fail(Failure::new(Status::DeviceFailed, message));
                continue;
            };
            let is_same = label == early.label;
            let score = top(logits, 1).first().map_or(0.0, |&(_, probability)| probability);
            job.promise.keep(Verdict {
                phase: if is_same { Phase::Confirm } else { Phase::Correct },
                label,
                score,
                exit: Exit::Final,
                depth: 1.0,
                compute_us: (state.now_us() - started_us) as u32,
                top: top(logits, early.top.len()),
                ..early
            });
        }
    }
}

impl Sink for Replies<'_> {
    fn answer(&mut self, answer: Answer<'_>) {
        let slot = answer.slot.0 as usize;
        let Some(job) = self.rows[slot].take() else { return };
        let verdict = self.verdict(&job, &answer);
        let metrics = &self.state.metrics;
        metrics.queue_seconds.observe(f64::from(verdict.queue_us) / 1e6);
        if !answer.is_finite {
            let message = "the model's logits are not finite";
            return job.promise.fail(Failure::new(Status::DeviceFailed, message));
        }
        metrics.exit(answer.exit);
        if job.options.two_phase && verdict.phase == Phase::Early {
            job.promise.early(verdict.clone());
            self.open.push(Open { slot, early: verdict, final_label: None });
            self.rows[slot] = Some(job);
        } else {
            job.promise.keep(verdict);
        }
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let slot = observation.slot.0 as usize;
        if let Some(open) = self.open.iter_mut().find(|open| open.slot == slot) {
            open.final_label = observation.final_label;
        }
    }
}

/// The likeliest classes with their probabilities.
fn top(logits: &[f32], count: usize) -> Vec<(u32, f32)> {
    if count == 0 {
        return Vec::new();
    }
    let mut probabilities = Vec::with_capacity(logits.len());
    softmax_into(logits, &mut probabilities);
    let mut classes: Vec<(u32, f32)> = (0..).zip(probabilities).collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    classes.truncate(count);
    classes
}
