//! How long a pass takes: a line through measured shapes, corrected by passes that ran.

use crate::profile::ShapeProfile;

/// Weight of a pass that took longer than predicted, and of one that did not: a machine that has
/// become slow must be noticed at once.
const SLOWER: f64 = 0.25;
const FASTER: f64 = 0.05;
/// No prediction is doubted further than to this share of the profile's.
const LEAST: f64 = 0.01;

/// What a pass has to do, or did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Tokens of all rows.
    pub tokens: usize,
    /// Share of the full forward's token-segments that were run; 1 where nobody leaves.
    pub share: f64,
}

/// Predicts passes.
#[derive(Clone, Debug, PartialEq)]
pub struct PassLatency {
    fixed_us: f64,
    token_us: f64,
    /// What passes really took, by what was predicted.
    factor: f64,
    /// Mean share of the work that passes had to do.
    share: f64,
    counts_exits: bool,
}

impl PassLatency {
    /// From measured shapes, by least squares; ramps count as run. Rows that leave early are not
    /// counted on unless `counts_exits`: then a pass is expected to be as short as passes were.
    pub fn fitted(shapes: &[ShapeProfile], counts_exits: bool) -> Self {
        let points: Vec<(f64, f64)> = shapes.iter().map(point).collect();
        let (fixed_us, token_us) = line(&points);
        Self { fixed_us, token_us, factor: 1.0, share: 1.0, counts_exits }
    }

    /// How long a pass of so many tokens takes, if nobody leaves.
    pub fn predict_us(&self, tokens: usize) -> u64 {
        (self.factor * self.uncorrected_us(tokens as f64)).ceil() as u64
    }

    /// How long it takes if as many leave as did so far: for what has begun, not for promises.
    pub fn expect_us(&self, tokens: usize) -> u64 {
        let share = if self.counts_exits { 1.0 } else { self.share };
        (self.factor * self.uncorrected_us(tokens as f64 * share)).ceil() as u64
    }

    /// Learns from a pass.
    pub fn learn(&mut self, work: Work, elapsed_us: u64) {
        self.share += FASTER * (work.share - self.share);
        let share = if self.counts_exits { 1.0 } else { work.share };
        let expected_us = self.uncorrected_us(work.tokens as f64 * share);
        if expected_us <= 0.0 {
            return;
        }
        let ratio = elapsed_us as f64 / expected_us;
        let weight = if ratio > self.factor { SLOWER } else { FASTER };
        self.factor += weight * (ratio - self.factor);
    }

    /// Nothing has run for a while, as nothing is predicted to end in time: that may be long past,
    /// or never have been so. Predicts half as much, until somebody is let in and shows.
    pub fn doubt(&mut self) {
        self.factor = (0.5 * self.factor).max(LEAST);
    }

    /// What passes took, by what the profile predicted for them.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    fn uncorrected_us(&self, tokens: f64) -> f64 {
        self.fixed_us + self.token_us * tokens
    }
}

/// Tokens and time of a measured shape.
fn point(shape: &ShapeProfile) -> (f64, f64) {
    let ramps = shape.exit_us.split_last().map_or(&[][..], |(_, ramps)| ramps);
    let ramps_us: f64 = ramps.iter().flatten().sum();
    ((shape.rows * shape.row_tokens) as f64, shape.forward_us() + ramps_us)
}

/// Offset and slope, neither below 0; each point weighs by the inverse of its time, so that short
/// passes are predicted as well as long ones.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let weight = |y: f64| 1.0 / (y * y).max(1.0);
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|&(x, y)| weight(y) * f(x, y)).sum()
    };
    let (n, x, y) = (sum(&|_, _| 1.0), sum(&|x, _| x), sum(&|_, y| y));
    let (xx, xy) = (sum(&|x, _| x * x), sum(&|x, y| x * y));
    let spread = n * xx - x * x;
    if spread <= 1e-9 * n * xx || n == 0.0 {
        return (0.0, if xx > 0.0 { xy / xx } else { 0.0 });
    }
    let slope = ((n * xy - x * y) / spread).max(0.0);
    let offset = (y - slope * x) / n;
    if offset < 0.0 { (0.0, xy / xx) } else { (offset, slope) }
}
