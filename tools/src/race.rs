//! Runs variants of a pass over the same batches, round by round and in turn, so that whatever
//! disturbs the machine disturbs all of them.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use offramp::{
    AfterExit, Answer, Batch, Decision, Engine, Exit, ExitWindow, Exits, PassReport, PassSettings,
    Sink,
};

use crate::failure::{Failure, Result};

/// Longest time told apart, nanoseconds: an hour.
const NANOS_MAX: u64 = 3_600_000_000_000;

/// One way to run the batches.
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) exits: Exits,
    pub(crate) after_exit: AfterExit,
    /// By row of all batches; empty where thresholds alone decide.
    pub(crate) windows: Vec<ExitWindow>,
}

/// When a race ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finish {
    pub(crate) rounds_min: usize,
    pub(crate) rounds_max: usize,
    pub(crate) seconds: f64,
}

/// What one variant did.
pub(crate) struct Tally {
    pub(crate) name: &'static str,
    /// By round: seconds inside passes.
    pub(crate) round_s: Vec<f64>,
    /// From the start of the pass until the row's answer left, in nanoseconds.
    pub(crate) row_ns: Histogram<u64>,
    /// Whole passes, in nanoseconds.
    pub(crate) pass_ns: Histogram<u64>,
    /// By row, from the last round.
    pub(crate) outcomes: Vec<Outcome>,
    /// Of one round.
    pub(crate) tokens: usize,
    pub(crate) token_segments: usize,
}

/// A row's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) label: u32,
    pub(crate) score: f32,
    pub(crate) exit: Exit,
    pub(crate) depth: f64,
    pub(crate) is_finite: bool,
}

const UNANSWERED: Outcome =
    Outcome { label: 0, score: 0.0, exit: Exit::Final, depth: 1.0, is_finite: false };

/// How far a race is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) round: usize,
    pub(crate) elapsed_s: f64,
    /// Passes that have been run.
    pub(crate) passes: usize,
}

/// Runs a batch of each variant unmeasured, then all in rounds until `finish`; `tick` hears of
/// each pass.
pub(crate) fn race(
    engine: &mut Engine,
    batches: &[Batch],
    variants: &[Variant],
    finish: Finish,
    mut tick: impl FnMut(Tick),
) -> Result<Vec<Tally>> {
    let mut tallies = variants.iter().map(Tally::new).collect::<Result<Vec<_>>>()?;
    for (variant, tally) in variants.iter().zip(&mut tallies) {
        tally.round(engine, &batches[..batches.len().min(1)], variant, &mut || {})?;
        tally.forget();
    }
    let started = Instant::now();
    let mut passes = 0;
    for round in 0..finish.rounds_max {
        let elapsed_s = started.elapsed().as_secs_f64();
        if round >= finish.rounds_min && elapsed_s >= finish.seconds {
            break;
        }
        for turn in 0..variants.len() {
            let index = (round + turn) % variants.len();
            tallies[index].round(engine, batches, &variants[index], &mut || {
                passes += 1;
                tick(Tick { round, elapsed_s: started.elapsed().as_secs_f64(), passes });
            })?;
        }
    }
    Ok(tallies)
}

impl Tally {
    fn new(variant: &Variant) -> Result<Self> {
        let histogram = || {
            Histogram::new_with_max(NANOS_MAX, 3)
                .map_err(|error| Failure::Failed(error.to_string()))
        };
        Ok(Self {
            name: variant.name,
            round_s: Vec::new(),
            row_ns: histogram()?,
            pass_ns: histogram()?,
            outcomes: Vec::new(),
            tokens: 0,
            token_segments: 0,
        })
    }

    fn forget(&mut self) {
        self.round_s.clear();
        self.row_ns.reset();
        self.pass_ns.reset();
    }

    fn round(
        &mut self,
        engine: &mut Engine,
        batches: &[Batch],
        variant: &Variant,
        ran: &mut dyn FnMut(),
    ) -> Result<()> {
        self.outcomes.clear();
        (self.tokens, self.token_segments) = (0, 0);
        let mut round_s = 0.0;
        for (index, batch) in batches.iter().enumerate() {
            let first = self.outcomes.len();
            let mut settings = PassSettings::new(&variant.exits, variant.after_exit);
            settings.next = batches.get(index + 1);
            if !variant.windows.is_empty() {
                settings.windows = &variant.windows[first..first + batch.rows()];
            }
            self.outcomes.resize(first + batch.rows(), UNANSWERED);
            let mut lap = Lap { tally: self, first, started: Instant::now() };
            let report = engine.run(batch, &settings, &mut lap)?;
            round_s += self.book_pass(&report);
            ran();
        }
        self.round_s.push(round_s);
        Ok(())
    }

    fn book_pass(&mut self, report: &PassReport) -> f64 {
        self.pass_ns.saturating_record(nanos(report.elapsed));
        self.tokens += report.tokens;
        self.token_segments += report.token_segments;
        report.elapsed.as_secs_f64()
    }

    /// Rows of one round.
    pub(crate) fn rows(&self) -> usize {
        self.outcomes.len()
    }

    /// Median over rounds.
    pub(crate) fn rows_per_s(&self) -> f64 {
        self.rows() as f64 / median(self.round_s.clone())
    }

    /// How many times as fast as `other`: median over rounds.
    pub(crate) fn speed_up(&self, other: &Self) -> f64 {
        let pairs = self.round_s.iter().zip(&other.round_s);
        median(pairs.map(|(own, other)| other / own).collect())
    }

    pub(crate) fn mean_depth(&self) -> f64 {
        self.outcomes.iter().map(|row| row.depth).sum::<f64>() / self.rows().max(1) as f64
    }

    /// Rows that got another answer than from `other`.
    pub(crate) fn disagreements(&self, other: &Self, decision: Decision) -> u64 {
        let pairs = self.outcomes.iter().zip(&other.outcomes);
        pairs.filter(|(own, other)| !decision.agree(own.label, other.label)).count() as u64
    }

    /// Rows answered at an exit.
    pub(crate) fn exits_at(&self, exit: Exit) -> usize {
        self.outcomes.iter().filter(|row| row.exit == exit).count()
    }
}

/// One pass being watched.
struct Lap<'a> {
    tally: &'a mut Tally,
    /// Index of the batch's first row among all rows.
    first: usize,
    started: Instant,
}

impl Sink for Lap<'_> {
    fn answer(&mut self, answer: Answer<'_>) {
        let Answer { row, label, score, exit, depth, is_finite, .. } = answer;
        self.tally.row_ns.saturating_record(nanos(self.started.elapsed()));
        self.tally.outcomes[self.first + row] = Outcome { label, score, exit, depth, is_finite };
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A quantile in milliseconds.
pub(crate) fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1e6
}

/// The middle; the lower one of two.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(vec![]).is_nan());
    }
}
