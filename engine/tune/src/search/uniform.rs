//! One threshold for all ramps, as BranchyNet (ICPR 2016) and DeeBERT (ACL 2020) have it.

use super::super::replay::{Replay, replay};
use super::super::window::{OFF, Window};
use super::{Prepared, Search};

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

    fn prepare<'a>(&'a self, window: &'a Window) -> Prepared<'a> {
        let mut scores: Vec<f32> =
            (0..window.ramps()).flat_map(|ramp| window.scores(ramp)).copied().collect();
        scores.retain(|score| *score >= 0.0);
        let outcome = |score| (score, replay(window, &vec![score; window.ramps()]));
        let outcomes: Vec<(f32, Replay)> =
            evenly(scores, self.candidates).into_iter().map(outcome).collect();
        Box::new(move |budget| {
            let fits = outcomes.iter().filter(|(_, found)| found.disagreements <= budget.errors);
            let saves = fits.filter(|(_, found)| found.mean_depth < 1.0);
            let best = saves.min_by(|(_, a), (_, b)| a.mean_depth.total_cmp(&b.mean_depth));
            vec![best.map_or(OFF, |&(score, _)| score); window.ramps()]
        })
    }
}

/// At most `count` of the distinct values, at even ranks, from high to low.
pub(super) fn evenly(mut values: Vec<f32>, count: usize) -> Vec<f32> {
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values.dedup();
    let taken = count.min(values.len());
    (1..=taken).map(|nth| values[nth * values.len() / taken - 1]).collect()
}
