//! What a pass gives, as answers: each given the moment it is known.

use offramp::scores::{probabilities, sigmoid};
use offramp::{Answer, Decision, Engine, Exit, Observation, RowSlot, Sink};
use offramp_protocol::{Failure, Phase, Status, Verdict};

use super::inbox::Job;
use super::state::State;

/// An early answer whose confirmation is due.
struct Open {
    row: usize,
    slot: RowSlot,
    early: Verdict,
    /// What it decided.
    decided: u32,
    final_label: Option<u32>,
}

/// Sends answers the moment they are known.
pub(crate) struct Replies<'a> {
    state: &'a State,
    rows: Vec<Option<Job>>,
    open: Vec<Open>,
    decision: Decision,
    version: u64,
    started_us: u64,
}

impl<'a> Replies<'a> {
    pub(crate) fn new(
        state: &'a State,
        rows: Vec<Option<Job>>,
        (decision, version): (Decision, u64),
        started_us: u64,
    ) -> Self {
        Self { state, rows, open: Vec::new(), decision, version, started_us }
    }

    fn verdict(&self, job: &Job, answer: &Answer<'_>) -> Verdict {
        let count = usize::from(job.options.top);
        // The score of a class is the policy's; what is no class has none but its own.
        let Said { label, score, top } = match (self.decision, count) {
            (Decision::Class, 0) => Said { label: 0, score: 0.0, top: Vec::new() },
            (decision, count) => Said::of(decision, answer.logits, count),
        };
        let (label, score) = match self.decision {
            Decision::Class => (answer.label, answer.score),
            Decision::Labels | Decision::Value { .. } => (label, score),
        };
        let queue_us = self.started_us.saturating_sub(job.arrival_us);
        Verdict {
            phase: if answer.exit == Exit::Final { Phase::Final } else { Phase::Early },
            is_cut: job.is_cut && job.options.tell_cut,
            label,
            score,
            exit: exit(answer.exit),
            depth: answer.depth as f32,
            queue_us: queue_us.min(u64::from(u32::MAX)) as u32,
            compute_us: (self.state.now_us() - self.started_us) as u32,
            threshold_version: self.version,
            top,
        }
    }

    /// Tells those who asked for it what the full model says.
    pub(crate) fn confirm(self, engine: &Engine) {
        let Self { state, mut rows, open, decision, started_us, .. } = self;
        for Open { row, slot, early, decided, final_label } in open {
            let Some(job) = rows[row].take() else { continue };
            let logits = engine.logits(engine.plan().ramps(), slot);
            let Some(label) = final_label else {
                let message = "the full model's logits are not finite";
                job.reply.fail(Failure::new(Status::DeviceFailed, message));
                continue;
            };
            let is_same = decision.agree(decided, label);
            let top = usize::from(job.options.top);
            let Said { label, score, top } = Said::of(decision, logits, top);
            job.reply.answer(Verdict {
                phase: if is_same { Phase::Confirm } else { Phase::Correct },
                label,
                score,
                exit: offramp_protocol::Exit::Final,
                depth: 1.0,
                compute_us: (state.now_us() - started_us) as u32,
                top,
                ..early
            });
        }
    }
}

impl Sink for Replies<'_> {
    fn answer(&mut self, answer: Answer<'_>) {
        let row = answer.row;
        let Some(mut job) = self.rows[row].take() else { return };
        let verdict = self.verdict(&job, &answer);
        let metrics = &self.state.metrics;
        metrics.queue_seconds.observe(f64::from(verdict.queue_us) / 1e6);
        if !answer.is_finite {
            let message = "the model's logits are not finite";
            return job.reply.fail(Failure::new(Status::DeviceFailed, message));
        }
        metrics.exit(answer.exit);
        if job.options.two_phase && verdict.phase == Phase::Early {
            job.reply.early(verdict.clone());
            let (early, decided) = (verdict, answer.label);
            let slot = answer.slot;
            self.open.push(Open { row, slot, early, decided, final_label: None });
            self.rows[row] = Some(job);
        } else {
            job.reply.answer(verdict);
        }
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let row = observation.row;
        if let Some(open) = self.open.iter_mut().find(|open| open.row == row) {
            open.final_label = observation.final_label;
        }
    }
}

/// As clients are told.
fn exit(exit: Exit) -> offramp_protocol::Exit {
    match exit {
        Exit::Site(site) => offramp_protocol::Exit::Site(site),
        Exit::Final => offramp_protocol::Exit::Final,
    }
}

/// What a verdict tells of logits.
struct Said {
    label: u32,
    score: f32,
    top: Vec<(u32, f32)>,
}

impl Said {
    /// The likeliest class or label with its probability, and as many pairs as were asked for; of
    /// labels at least those that hold. Of a number its sigmoid, and one pair that holds itself.
    fn of(decision: Decision, logits: &[f32], count: usize) -> Self {
        if let Decision::Value { .. } = decision {
            let value = logits.first().copied().unwrap_or(f32::NAN);
            return Self { label: 0, score: sigmoid(value), top: vec![(0, value)] };
        }
        let mut top: Vec<(u32, f32)> = (0..).zip(probabilities(decision, logits)).collect();
        if decision.is_each() {
            // The sigmoid of a logit right above 0 rounds to one half, and its label holds.
            let held = top.iter_mut().zip(logits).filter(|(_, logit)| **logit > 0.0);
            held.for_each(|((_, p), _)| *p = p.max(0.5_f32.next_up()));
        }
        top.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (label, score) = top.first().copied().unwrap_or((0, 0.0));
        let held = match decision {
            Decision::Labels => logits.iter().filter(|logit| **logit > 0.0).count(),
            Decision::Class | Decision::Value { .. } => 0,
        };
        top.truncate(count.max(held).min(usize::from(u16::MAX)));
        Self { label, score, top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_hold_are_told_whatever_was_asked_for() {
        let logits = [2.0, -0.5, 0.1, -3.0];
        let said = |count| Said::of(Decision::Labels, &logits, count);
        let classes = |said: &Said| said.top.iter().map(|pair| pair.0).collect::<Vec<_>>();
        assert_eq!(classes(&said(0)), [0, 2]);
        assert_eq!(classes(&said(3)), [0, 2, 1]);
        assert_eq!(classes(&said(9)), [0, 2, 1, 3]);
        assert!((said(0).score - 0.8808).abs() < 1e-4 && said(0).label == 0);
        let barely = Said::of(Decision::Labels, &[1e-8, -1e-8], 0);
        assert!(barely.top.len() == 1 && barely.top[0].1 > 0.5, "a client sees that it holds");
        let none = Said::of(Decision::Labels, &[-1.0, -0.5], 0);
        assert!(none.top.is_empty() && none.label == 1 && none.score < 0.5);
    }

    #[test]
    fn a_number_is_told_as_it_is_beside_its_sigmoid() {
        let said = Said::of(Decision::Value { tolerance: 0.02 }, &[2.4976], 0);
        assert_eq!((said.label, said.top), (0, vec![(0, 2.4976)]));
        assert!((said.score - 0.924).abs() < 1e-3);
    }

    #[test]
    fn classes_share_one_softmax() {
        let said = Said::of(Decision::Class, &[1.0, 3.0], 1);
        assert_eq!((said.label, said.top.len()), (1, 1));
        assert!((said.score - 0.8808).abs() < 1e-4);
        assert!(Said::of(Decision::Class, &[1.0, 3.0], 0).top.is_empty());
    }
}
