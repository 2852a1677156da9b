//! One threshold for all ramps, as BranchyNet (ICPR 2016) and DeeBERT (ACL 2020) have it.

use super::super::replay::replay;
use super::super::window::{OFF, Window};
use super::{Budget, Search};

/// Tries evenly chosen scores that occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uniform {
    /// How many.
    pub candidates: usize,
}

impl Default for Uniform {
    fn default() -> Self {
        Self { candidates: 500 }
    }
}

impl Search for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn search(&self, window: &Window, budget: &Budget) -> Vec<f32> {
        let mut scores: Vec<f32> =
            (0..window.ramps()).flat_map(|ramp| window.scores(ramp)).copied().collect();
        scores.retain(|score| *score >= 0.0);
        let (mut best, mut depth) = (OFF, 1.0);
        for score in evenly(scores, self.candidates) {
            let outcome = replay(window, &vec![score; window.ramps()]);
            if outcome.disagreements <= budget.errors && outcome.mean_depth < depth {
                (best, depth) = (score, outcome.mean_depth);
            }
        }
        vec![best; window.ramps()]
    }
}

/// At most `count` of the distinct values, at even ranks, from high to low.
pub(super) fn evenly(mut values: Vec<f32>, count: usize) -> Vec<f32> {
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values.dedup();
    let taken = count.min(values.len());
    (1..=taken).map(|nth| values[nth * values.len() / taken - 1]).collect()
}
