//! Times segments, ramps and compaction on the device at hand.

use offramp_kernels::{LiveBound, Op, Score};

use super::step::issue_all;
use super::{Engine, PassSettings};
use crate::batch::Batch;
use crate::clock;
use crate::error::{Error, Result};
use crate::exit::{AfterExit, Exits};
use crate::rules::{Limits, RowRules};

/// Forwards behind a median at start.
const ROUNDS: usize = 3;
/// How much longer than the first the largest pass at start should take.
const GROWTH_WANTED: f64 = 1.5;
/// Tokens of a row at start at most.
const ROW_TOKENS_MAX: usize = 128;
/// Compactions timed in a row, beyond the first.
const COMPACTIONS: usize = 8;

/// How many rows of how many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: usize,
    /// Tokens of each. An image has its own number of them, whatever this says.
    pub tokens: usize,
}

impl Shape {
    /// A few rows of a few tokens; `None` where there is no room for two rows.
    fn first(rules: &RowRules, limits: Limits) -> Option<Self> {
        let tokens = rules.clamp_tokens(16);
        let rows = 4.min(limits.rows_max).min(limits.tokens_max / tokens.max(1));
        (rows >= 2).then_some(Self { rows, tokens })
    }

    /// Twice as many tokens, by longer rows while there are such, if there is room. Images are all
    /// of one length.
    fn larger(self, rules: &RowRules, limits: Limits) -> Option<Self> {
        let Self { rows, tokens } = self;
        let longer = 2 * tokens;
        let has_longer = longer <= ROW_TOKENS_MAX && rules.clamp_tokens(longer) == longer;
        let larger = if has_longer {
            Self { rows, tokens: longer }
        } else {
            Self { rows: 2 * rows, tokens }
        };
        let fits = larger.rows <= limits.rows_max && larger.all_tokens() <= limits.tokens_max;
        fits.then_some(larger)
    }

    /// Of all rows.
    fn all_tokens(self) -> usize {
        self.rows * self.tokens
    }
}

/// Median times of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SegmentTime {
    /// The ops of the segment.
    pub segment_us: f64,
    /// The exit behind it: a ramp, the final exit, or nothing.
    pub exit_us: Option<f64>,
}

impl Engine {
    /// Times every segment, with the exit behind it, over a batch of `shape`: medians of `rounds`
    /// forwards in which nobody leaves.
    ///
    /// # Errors
    /// The shape exceeds the engine's limits, other rows are there, or the device failed.
    pub fn measure(&mut self, shape: Shape, rounds: usize) -> Result<Vec<SegmentTime>> {
        self.check_alone()?;
        let measured = self.measure_segments(shape, rounds);
        self.device.clear();
        measured
    }

    fn measure_segments(&mut self, shape: Shape, rounds: usize) -> Result<Vec<SegmentTime>> {
        let batch = self.synthetic(shape)?;
        let exits = Exits::watching(&self.plan, Score::Confidence);
        let segments = self.plan.segments.len();
        let mut samples = vec![(Vec::new(), Vec::new()); segments];
        self.audit.keep(shape.rows, |_| true);
        for _ in 0..rounds.max(1) {
            let bound = self.begin(&batch, &exits)?;
            for (index, (segment, exit)) in samples.iter_mut().enumerate() {
                segment.push(self.time_ops(bound, |plan| plan.segments[index].ops.clone())?);
                exit.push(self.time_ops(bound, |plan| plan.exit_ops(index))?);
            }
        }
        let has_exit: Vec<bool> =
            (0..segments).map(|index| !self.plan.exit_ops(index).is_empty()).collect();
        let time =
            |((mut segment, mut exit), has_exit): ((Vec<f64>, Vec<f64>), bool)| SegmentTime {
                segment_us: median(&mut segment),
                exit_us: has_exit.then(|| median(&mut exit)),
            };
        Ok(samples.into_iter().zip(has_exit).map(time).collect())
    }

    /// Times the packing of `shape` when every second row leaves at the first ramp; `None` for a
    /// plan without ramps. On a device that runs behind, of compactions in a row, so that neither
    /// launching nor waiting counts.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn measure_compaction(&mut self, shape: Shape, rounds: usize) -> Result<Option<f64>> {
        self.check_alone()?;
        let measured = self.measure_packing(shape, rounds);
        self.device.clear();
        measured
    }

    fn measure_packing(&mut self, shape: Shape, rounds: usize) -> Result<Option<f64>> {
        let Some(index) = self.plan.ramp_sites().next() else { return Ok(None) };
        let Some(site) = &self.plan.segments[index].site else { return Ok(None) };
        let compact = Op::Compact(site.compact.clone());
        let batch = self.synthetic(shape)?;
        let exits = Exits::uniform(&self.plan, Score::Confidence, 0.0)?;
        self.audit.keep(shape.rows, |row| row % 2 == 1);
        let mut samples = Vec::new();
        for _ in 0..rounds.max(1) {
            let bound = self.begin(&batch, &exits)?;
            self.time_ops(bound, |plan| plan.ops_until_first_ramp())?;
            let one_us = self.time_ops(bound, |_| vec![compact.clone()])?;
            if !self.device.runs_behind() {
                samples.push(one_us);
                continue;
            }
            let many_us = self.time_ops(bound, |_| vec![compact.clone(); 1 + COMPACTIONS])?;
            samples.push((many_us - one_us).max(0.0) / COMPACTIONS as f64);
        }
        Ok(Some(median(&mut samples)))
    }

    /// Touches every page, loads every kernel of a GPU, and measures what a token costs in each
    /// segment, so that packing is decided by this machine and not by a constant. Nothing of it
    /// where there is no room for two rows.
    pub(super) fn warm_up(&mut self) -> Result<()> {
        let Some(shape) = Shape::first(&self.rules, self.limits) else { return Ok(()) };
        match (self.plan.ramps(), self.device.runs_behind()) {
            (0, false) => Ok(()),
            (0, true) => self.measure(shape, 1).map(drop),
            (_, false) => self.warm_up_at_once(shape),
            (_, true) => self.warm_up_behind(shape),
        }
    }

    /// For a device that computes when it is told: passes cost what their tokens cost.
    fn warm_up_at_once(&mut self, shape: Shape) -> Result<()> {
        let times = self.measure(shape, ROUNDS)?;
        let all = shape.all_tokens() as f64;
        self.costs.token_us = times.iter().map(|time| time.segment_us / all).collect();
        if let Some(compact_us) = self.measure_compaction(shape, ROUNDS)? {
            let site = self.plan.ramp_sites().next().unwrap_or(0);
            self.costs.moves(&self.plan, site, compact_us / (all / 2.0));
        }
        Ok(())
    }

    /// For one where small passes cost what their launches cost: segments by the difference
    /// between a small pass and one large enough to take clearly longer, and a compaction by
    /// itself.
    fn warm_up_behind(&mut self, first: Shape) -> Result<()> {
        let small = self.segment_us(first)?;
        let small_us: f64 = small.iter().sum();
        let mut last = (first, small.clone());
        while last.1.iter().sum::<f64>() < GROWTH_WANTED * small_us {
            let Some(next) = last.0.larger(&self.rules, self.limits) else { break };
            last = (next, self.segment_us(next)?);
        }
        let (shape, large) = last;
        if shape != first {
            self.costs.marginal((first.all_tokens(), &small), (shape.all_tokens(), &large));
        }
        if let Some(compact_us) = self.measure_compaction(first, ROUNDS)? {
            self.costs.fixed(compact_us);
        }
        Ok(())
    }

    /// By segment: its time over a batch of `shape`.
    fn segment_us(&mut self, shape: Shape) -> Result<Vec<f64>> {
        let times = self.measure(shape, ROUNDS)?;
        Ok(times.into_iter().map(|time| time.segment_us).collect())
    }

    /// Measuring starts over again and again, so nobody else may be there.
    fn check_alone(&mut self) -> Result<()> {
        self.retire_left_over()?;
        let there = self.plan.layout.rows_max - self.device.room().rows;
        if there > 0 {
            return Err(Error::Options(format!(
                "{there} rows are there: measure before they come"
            )));
        }
        Ok(())
    }

    /// Lets the rows of `batch` take the place of all others; who stays, the audit has been told.
    fn begin(&mut self, batch: &Batch, exits: &Exits) -> Result<LiveBound> {
        let settings = PassSettings::new(exits, AfterExit::Compact);
        let input = self.input_of(batch)?;
        self.device.begin(&settings.admission(input, self.audit.stays()))?;
        Ok(LiveBound { rows: batch.rows(), tokens: batch.tokens() })
    }

    fn time_ops(
        &mut self,
        bound: LiveBound,
        ops: impl FnOnce(&crate::plan::Plan) -> Vec<Op>,
    ) -> Result<f64> {
        let ops = ops(&self.plan);
        let started = clock::now();
        issue_all(self.device.as_mut(), &ops, bound)?;
        self.device.finish()?;
        Ok(started.elapsed().as_secs_f64() * 1e6)
    }

    /// Rows of seeded random tokens or pixels.
    fn synthetic(&self, shape: Shape) -> Result<Batch> {
        let mut batch = self.batch();
        for row in 0..shape.rows {
            if batch.push_row(&self.rules.random(shape.tokens, row as u64))?.is_none() {
                offramp_kernels::Error::check_fits("rows to measure", shape.rows, batch.rows())?;
            }
        }
        Ok(batch)
    }
}

/// The middle of the samples; `NaN` of none.
fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{ImageRules, TextRules};

    const LIMITS: Limits = Limits { rows_max: 32, tokens_max: 4096 };

    /// The shapes of a start, as rows and tokens of each.
    fn shapes(rules: &RowRules) -> Vec<(usize, usize)> {
        let limits = rules.limits(LIMITS);
        let larger = |shape: &Shape| shape.larger(rules, limits);
        let all = std::iter::successors(Shape::first(rules, limits), larger);
        all.map(|shape| (shape.rows, shape.tokens)).collect()
    }

    fn image(tokens: usize) -> RowRules {
        RowRules::Image(ImageRules { height: 4, width: 4, channels: 3, tokens })
    }

    #[test]
    fn texts_grow_by_tokens_first() {
        let (vocab, kinds, position_offset, pad_token) = (10, 0, 0, 0);
        let text = |tokens_max| {
            RowRules::Text(TextRules { vocab, kinds, tokens_max, position_offset, pad_token })
        };
        let to_128 = [(4, 16), (4, 32), (4, 64), (4, 128), (8, 128), (16, 128), (32, 128)];
        assert_eq!(shapes(&text(512)), to_128);
        assert_eq!(shapes(&text(20)), [(4, 16), (8, 16), (16, 16), (32, 16)]);
    }

    #[test]
    fn images_grow_by_rows_and_keep_their_tokens() {
        for tokens in [1, 7, 64, 197] {
            let expected = [4, 8, 16, 32].map(|rows| (rows, tokens));
            assert_eq!(shapes(&image(tokens)), expected);
        }
    }
}
