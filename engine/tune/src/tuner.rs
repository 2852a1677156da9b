//! Follows the workload: keeps a window of rows that ran to the end as a fair sample, searches it
//! at every step, and steps to the safe side at once where the promise is in danger. Pure: rows
//! in, thresholds out.

use std::collections::VecDeque;

use offramp::Decision;

use super::bound::Drift;
use super::fit::Goal;
use super::latency::Latency;
use super::promise::{Proposal, propose};
use super::replay::Replay;
use super::search::Search;
use super::window::{OFF, Window};
use crate::feedback::Feedback;

/// How a tuner behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct TunerOptions {
    /// What rows' words decide, and when two are the same.
    pub decision: Decision,
    /// What is promised. Without a confidence the window is taken at its word, as Apparate does.
    pub goal: Goal,
    /// Rows of the sample that thresholds are chosen on, at most.
    pub window_rows: usize,
    /// Such rows between two searches.
    pub step_rows: usize,
    /// Keep the first thresholds that let rows leave, whatever comes: for comparison.
    pub once: bool,
    /// New thresholds must save this share of the forward more than those in force.
    pub gain_min: f64,
}

impl Default for TunerOptions {
    fn default() -> Self {
        Self {
            decision: Decision::Class,
            goal: Goal::default(),
            window_rows: 2048,
            step_rows: 64,
            once: false,
            gain_min: 0.005,
        }
    }
}

/// Why thresholds changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Others save more.
    Better,
    /// The window no longer bears the promise out.
    Bound,
    /// Disagreements came so fast that the rate must have risen.
    Alarm,
    /// Other ramps run.
    Ramps,
}

/// New thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// By ramp of the model; [`OFF`] where nobody leaves.
    pub thresholds: Vec<f32>,
    /// By ramp of the model: those that run.
    pub active: Vec<bool>,
    /// Why.
    pub reason: Reason,
    /// What is expected of them, by active ramp.
    pub expected: Proposal,
    /// Rows that they were chosen on.
    pub window_rows: usize,
}

/// What the window shows of the thresholds in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Rows that tell: those that met every active ramp.
    pub rows: usize,
    /// What the disagreement is at most, at the goal's confidence: 1 where there are no rows, 0
    /// where nobody may leave early.
    pub disagreement_at_most: f64,
}

impl Evidence {
    fn of(rows: usize, judged: &Proposal) -> Self {
        let is_off = judged.thresholds.iter().all(|&threshold| threshold >= OFF);
        Self { rows, disagreement_at_most: if is_off { 0.0 } else { judged.upper_bound } }
    }
}

/// Chooses thresholds as rows come in.
pub struct Tuner {
    options: TunerOptions,
    search: Box<dyn Search>,
    active: Vec<bool>,
    depths: Vec<f64>,
    thresholds: Vec<f32>,
    rows: VecDeque<Feedback>,
    fresh_rows: usize,
    drift: Drift,
    thrift: Thrift,
    evidence: Evidence,
}

/// Rows between two false alarms, at the limit of the promise, on average.
const FALSE_ALARM_ROWS: f64 = 5000.0;

/// The share of the promised disagreement that a search may spend. A bound holds for rows like
/// those of the window; where the workload drifts the next ones are not. So what thresholds really
/// did corrects what is asked of them (Gibbs and Candès, "Adaptive Conformal Inference Under
/// Distribution Shift", NeurIPS 2021): each wrong answer makes the next search more careful, each
/// right one a little less, in balance at half the promise.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Thrift(f64);

impl Thrift {
    /// Set by rehearsals of drifting streams.
    const PACE: f64 = 0.0005;
    const LEAST: f64 = 0.05;

    /// A row was answered: `wrong` is what a wrong answer stands for, in promised ones.
    fn learn(&mut self, wrong: f64) {
        self.0 = (self.0 + Self::PACE * (1.0 - 2.0 * wrong)).clamp(Self::LEAST, 1.0);
    }

    fn halve(&mut self) {
        self.0 = (0.5 * self.0).max(Self::LEAST);
    }

    fn of(self, goal: &Goal) -> Goal {
        Goal { agreement: 1.0 - goal.limit() * self.0, ..*goal }
    }
}

impl Tuner {
    /// Begins with `thresholds` in force, by ramp.
    pub fn new(
        options: TunerOptions,
        search: Box<dyn Search>,
        latency: &Latency,
        active: Vec<bool>,
        thresholds: Vec<f32>,
    ) -> Self {
        let may_leave = thresholds.iter().any(|&threshold| threshold < OFF);
        Self {
            depths: latency.depths(&active),
            rows: VecDeque::with_capacity(options.window_rows),
            drift: Drift::new(options.goal.limit().clamp(1e-6, 0.5), FALSE_ALARM_ROWS),
            fresh_rows: 0,
            thrift: Thrift(1.0),
            evidence: Evidence { rows: 0, disagreement_at_most: f64::from(u8::from(may_leave)) },
            options,
            search,
            active,
            thresholds,
        }
    }

    /// Takes in what rows showed, and learns from those of the sample; new thresholds where those
    /// in force should go.
    pub fn step(&mut self, rows: impl IntoIterator<Item = Feedback>) -> Option<Change> {
        let mut alarm = false;
        for row in rows.into_iter().filter(|row| row.is_sample && row.final_label.is_some()) {
            let is_wrong = row.is_wrong(self.options.decision);
            if self.options.goal.confidence.is_some() {
                self.thrift.learn(if is_wrong { 1.0 / self.options.goal.limit() } else { 0.0 });
                alarm |= self.drift.add(is_wrong);
            }
            self.keep(row);
        }
        if self.options.once && self.thresholds.iter().any(|&threshold| threshold < OFF) {
            return None;
        }
        if alarm {
            self.drift.reset();
            self.thrift.halve();
            return self.choose(Some(Reason::Alarm));
        }
        (self.fresh_rows >= self.options.step_rows).then(|| self.choose(None)).flatten()
    }

    /// From now on these ramps run. A ramp that is new lets nobody out until rows have shown what
    /// it would have said; the others keep their thresholds.
    pub fn activate(&mut self, active: Vec<bool>, latency: &Latency) -> Change {
        let ramps = self.thresholds.iter_mut().zip(&active);
        ramps.filter(|(_, active)| !**active).for_each(|(threshold, _)| *threshold = OFF);
        self.depths = latency.depths(&active);
        self.active = active;
        let window = self.window();
        let now = Proposal::judged(&window, self.by_active(), &self.options.goal);
        self.evidence = Evidence::of(window.rows(), &now);
        self.change(Reason::Ramps, now)
    }

    /// Thresholds in force, by ramp.
    pub fn thresholds(&self) -> &[f32] {
        &self.thresholds
    }

    /// As of the last look at the window, every step.
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// What rows' words decide.
    pub fn decision(&self) -> Decision {
        self.options.decision
    }

    /// Ramps that run.
    pub fn active(&self) -> &[bool] {
        &self.active
    }

    fn keep(&mut self, row: Feedback) {
        if self.rows.len() == self.options.window_rows {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
        self.fresh_rows += 1;
    }

    fn choose(&mut self, forced: Option<Reason>) -> Option<Change> {
        self.fresh_rows = 0;
        let window = self.window();
        let goal = &self.thrift.of(&self.options.goal);
        let now = Proposal::judged(&window, self.by_active(), goal);
        self.evidence = Evidence::of(window.rows(), &now);
        let best = propose(&window, self.search.as_ref(), goal);
        // Few rows, as at the start and just after ramps have changed, say nothing against
        // thresholds that were proved before; an alarm would.
        let is_telling = 2 * window.rows() >= self.options.window_rows;
        let is_off = now.thresholds.iter().all(|&threshold| threshold == OFF);
        let gain = now.replay.mean_depth - best.replay.mean_depth;
        let reason = match forced {
            Some(reason) => reason,
            None if is_telling && !is_off && !now.keeps(goal) => Reason::Bound,
            None if gain > self.options.gain_min => Reason::Better,
            None => return None,
        };
        let thresholds = self.by_ramp(&best.thresholds);
        if thresholds == self.thresholds {
            return None;
        }
        self.thresholds = thresholds;
        self.evidence = Evidence::of(window.rows(), &best);
        Some(self.change(reason, best))
    }

    fn change(&self, reason: Reason, expected: Proposal) -> Change {
        Change {
            thresholds: self.thresholds.clone(),
            active: self.active.clone(),
            reason,
            expected,
            window_rows: self.rows.len(),
        }
    }

    /// What the ramps that run could do to the rows seen last if those were all there is: what they
    /// are worth, whether or not it can be proved yet that they may let rows leave.
    pub fn prospects(&self) -> Replay {
        let goal = Goal { confidence: None, ..self.options.goal };
        propose(&self.window(), self.search.as_ref(), &goal).replay
    }

    /// By active ramp.
    fn by_active(&self) -> Vec<f32> {
        let ramps = self.thresholds.iter().zip(&self.active);
        ramps.filter(|(_, active)| **active).map(|(threshold, _)| *threshold).collect()
    }

    fn by_ramp(&self, chosen: &[f32]) -> Vec<f32> {
        let mut chosen = chosen.iter();
        let threshold = |active: &bool| {
            let own = if *active { chosen.next() } else { None };
            own.copied().unwrap_or(OFF)
        };
        self.active.iter().map(threshold).collect()
    }

    /// The rows that met every active ramp.
    fn window(&self) -> Window {
        let (mut scores, mut labels, mut final_labels) = (Vec::new(), Vec::new(), Vec::new());
        for row in &self.rows {
            let seen = row.seen.iter().filter(|seen| self.active[seen.ramp as usize]);
            if seen.clone().count() < self.depths.len() {
                continue;
            }
            scores.extend(seen.clone().map(|seen| seen.score));
            labels.extend(seen.map(|seen| seen.label));
            final_labels.extend(row.final_label);
        }
        let (decision, depths) = (self.options.decision, self.depths.clone());
        let window = Window::deciding(decision, depths, &scores, &labels, &final_labels);
        // Scores and labels come from the executor or a checked record.
        window.unwrap_or_else(|_| self.empty())
    }

    fn empty(&self) -> Window {
        let depths = vec![1.0; self.depths.len()];
        Window::new(depths, &[], &[], &[]).unwrap_or_else(|_| unreachable!("no rows, no faults"))
    }
}
