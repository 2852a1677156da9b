//! Every combination of a few thresholds for each ramp: the truth for small cases.

use super::super::window::{OFF, Window};
use super::rows::{Rows, count_both};
use super::uniform::evenly;
use super::{Prepared, Search};

/// Tries as many levels for each ramp as keep the number of combinations within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Most combinations.
    pub combinations_max: usize,
}

impl Default for Grid {
    fn default() -> Self {
        Self { combinations_max: 2_000_000 }
    }
}

impl Search for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn prepare<'a>(&'a self, window: &'a Window) -> Prepared<'a> {
        let ramps = window.ramps();
        let levels = (self.combinations_max as f64).powf(1.0 / ramps.max(1) as f64) as usize;
        let ramp = |ramp| Levels::new(window, ramp, levels.max(2) - 1);
        let levels: Vec<Levels> = (0..ramps).map(ramp).collect();
        Box::new(move |budget| {
            let (allowed, best) = (budget.errors, vec![OFF; ramps]);
            let mut walk =
                Walk { window, ramps: &levels, allowed, now: Vec::new(), best, saved: 0.0 };
            walk.visit(&Rows::full(window.rows()), 0, 0.0);
            walk.best
        })
    }
}

/// The thresholds tried at one ramp, each with the rows that reach it.
struct Levels {
    wrong: Rows,
    levels: Vec<(f32, Rows)>,
}

impl Levels {
    fn new(window: &Window, ramp: usize, count: usize) -> Self {
        let (scores, agrees) = (window.scores(ramp), window.agrees(ramp));
        let seen = scores.iter().copied().filter(|score| *score >= 0.0).collect();
        let level = |score| (score, Rows::of(scores.len(), |row| scores[row] >= score));
        let never = (OFF, Rows::of(scores.len(), |_| false));
        let levels = evenly(seen, count).into_iter().map(level);
        let wrong = Rows::of(scores.len(), |row| !agrees[row]);
        Self { wrong, levels: [never].into_iter().chain(levels).collect() }
    }
}

/// Goes through all combinations, ramp by ramp.
struct Walk<'a> {
    window: &'a Window,
    ramps: &'a [Levels],
    allowed: u64,
    now: Vec<f32>,
    best: Vec<f32>,
    saved: f64,
}

impl Walk<'_> {
    fn visit(&mut self, live: &Rows, errors: u64, saved: f64) {
        let ramp = self.now.len();
        if ramp == self.ramps.len() {
            if saved > self.saved {
                (self.saved, self.best) = (saved, self.now.clone());
            }
            return;
        }
        for level in 0..self.ramps[ramp].levels.len() {
            let Levels { wrong, levels } = &self.ramps[ramp];
            let (threshold, reach) = &levels[level];
            let mut leaving = live.clone();
            leaving.keep(reach.words());
            let errors = errors + count_both(leaving.words(), wrong.words()) as u64;
            if errors > self.allowed {
                break;
            }
            let gain = 1.0 - self.window.depth(ramp);
            let saved = saved + gain * count_both(leaving.words(), live.words()) as f64;
            let mut rest = live.clone();
            rest.remove(leaving.words());
            self.now.push(*threshold);
            self.visit(&rest, errors, saved);
            self.now.pop();
        }
    }
}
