//! Apparate's hill climb (Dai et al., SOSP 2024, arXiv 2312.05385): each round tries a step on
//! every ramp alone and takes the one that costs least agreement for the latency it saves; steps
//! double with success and halve without.
//!
//! Thresholds start where nothing exits. Constants are those of the published code; where it treats
//! the first ramp's index as "none", this does not.

use super::super::replay::{Replay, replay};
use super::super::window::{OFF, Window};
use super::{Budget, Prepared, Search};

/// The hill climb.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Greedy {
    /// First step, in score.
    pub step: f32,
    /// Steps no longer halve below this.
    pub step_min: f32,
}

impl Default for Greedy {
    fn default() -> Self {
        Self { step: 0.01, step_min: 0.001 }
    }
}

impl Search for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }

    fn prepare<'a>(&'a self, window: &'a Window) -> Prepared<'a> {
        Box::new(|budget| self.climb(window, budget))
    }
}

impl Greedy {
    fn climb(&self, window: &Window, budget: &Budget) -> Vec<f32> {
        let mut climb = Climb {
            window,
            errors_max: budget.errors,
            doubts: vec![0.0; window.ramps()],
            steps: vec![self.step; window.ramps()],
        };
        let mut now = climb.outcome(&climb.doubts);
        loop {
            if let Some(next) = climb.round(&now) {
                now = next;
            } else if !climb.halve(self.step_min) {
                return thresholds(&climb.doubts);
            }
        }
    }
}

/// Where the climb stands. A ramp's doubt is how far below 1 its threshold lies.
struct Climb<'a> {
    window: &'a Window,
    errors_max: u64,
    doubts: Vec<f32>,
    steps: Vec<f32>,
}

/// A step on one ramp.
struct Trial {
    ramp: usize,
    outcome: Replay,
    /// Agreement lost for each share of latency saved: least is best.
    price: f64,
    /// Saves without loss, or changes nothing at all: may go faster.
    is_free: bool,
}

impl Climb<'_> {
    fn outcome(&self, doubts: &[f32]) -> Replay {
        replay(self.window, &thresholds(doubts))
    }

    /// Takes the best step; none where every step breaks the budget or saves nothing.
    fn round(&mut self, now: &Replay) -> Option<Replay> {
        let trials: Vec<Trial> =
            (0..self.doubts.len()).filter_map(|ramp| self.trial(ramp, now)).collect();
        let best = trials.iter().min_by(|a, b| a.price.total_cmp(&b.price))?;
        let outcome = best.outcome.clone();
        self.doubts[best.ramp] += self.steps[best.ramp];
        let fast = trials.iter().filter(|trial| trial.is_free || trial.ramp == best.ramp);
        fast.for_each(|trial| self.steps[trial.ramp] *= 2.0);
        Some(outcome)
    }

    fn trial(&self, ramp: usize, now: &Replay) -> Option<Trial> {
        let mut doubts = self.doubts.clone();
        doubts[ramp] += self.steps[ramp];
        if self.doubts[ramp] >= 1.0 {
            return None;
        }
        let outcome = self.outcome(&doubts);
        let lost = now.agreement - outcome.agreement;
        let saved = now.mean_depth - outcome.mean_depth;
        let fits = outcome.disagreements <= self.errors_max;
        let is_free = lost <= 0.0 || saved == 0.0;
        let price = if is_free { -saved.abs() } else { lost / saved.abs() };
        fits.then_some(Trial { ramp, outcome, price, is_free })
    }

    /// Halves every step above the least; false where none is.
    fn halve(&mut self, step_min: f32) -> bool {
        let mut halved = false;
        for step in self.steps.iter_mut().filter(|step| **step > step_min) {
            *step /= 2.0;
            halved = true;
        }
        halved
    }
}

fn thresholds(doubts: &[f32]) -> Vec<f32> {
    doubts.iter().map(|&doubt| if doubt > 0.0 { (1.0 - doubt).max(0.0) } else { OFF }).collect()
}
