//! What a benchmark runs: rows of fixed or given lengths, or the inputs that came with a model.

use std::path::Path;

use clap::ValueEnum;
use offramp::{Batch, Engine, ExitWindow, Model, Row, RowRules};

use crate::failure::{Failure, Result};
use crate::lines::{Line, Lines};
use crate::open::ExitPlan;
use crate::pictures::PictureRules;
use crate::shipped;
use crate::table::counted;

/// Seed of the random tokens.
const SEED: u64 = 11;

/// Said of thresholds that met random tokens.
const RANDOM_TOKENS: &str = "tokens are random and meet thresholds that were not made for them: \
                             depth, speed-up and row latency of release and compact say little of \
                             real inputs; --ragged runs those that came with the model";

/// Rows to draw on.
pub(super) struct Rows {
    kind: &'static str,
    rows: Vec<Row>,
}

/// The passes of one round.
pub(super) struct Workload {
    /// "fixed", "lengths" or "inputs".
    pub(super) kind: &'static str,
    /// Rows of a pass.
    pub(super) rows: usize,
    /// By pass; the last one of real inputs may be smaller.
    passes: Vec<Vec<Row>>,
}

/// Random rows that fixed lengths take turns over.
const FIXED_ROWS: u64 = 32;

/// One set of rows for each length that the model has.
pub(super) fn fixed(lengths: &[usize], model: &Model) -> Vec<Rows> {
    let rules = RowRules::of(model.spec());
    let mut lengths: Vec<usize> = lengths.iter().map(|&n| rules.clamp_tokens(n)).collect();
    lengths.dedup();
    let rows = |&length: &usize| {
        let rows = (0..FIXED_ROWS).map(|number| rules.random(length, SEED ^ number));
        Rows { kind: "fixed", rows: rows.collect() }
    };
    lengths.iter().map(rows).collect()
}

/// Random rows as long as the lines of a file say.
pub(super) fn read_lengths(file: &Path, model: &Model) -> Result<Rows> {
    let (rules, longest) = (RowRules::of(model.spec()), model.row_tokens_max());
    let mut lines = Lines::open(file)?;
    let mut rows = Vec::new();
    while let Some((line, text)) = lines.next()? {
        let length = match &text {
            Line::Text(text) => text.trim().parse().ok().filter(|n| (1..=longest).contains(n)),
            _ => None,
        };
        let length = length.ok_or_else(|| Failure::Line {
            file: file.to_owned(),
            line,
            message: format!("expected a number of tokens from 1 to {longest}"),
        })?;
        rows.push(rules.random(length, SEED ^ line));
    }
    if rows.is_empty() {
        return Err(Failure::Failed(format!("{}: no lengths", file.display())));
    }
    Ok(Rows { kind: "lengths", rows })
}

/// The inputs in the model's folder.
pub(super) fn shipped(model: &Model) -> Result<Rows> {
    let rows = shipped::rows(model, None, PictureRules::default())?;
    Ok(Rows { kind: "inputs", rows: rows.into_iter().map(|row| row.input).collect() })
}

impl Rows {
    /// Passes of `rows` rows each: all rows once, or `rows` where there are fewer.
    pub(super) fn cut(&self, rows: usize) -> Workload {
        let wanted = self.rows.len().max(rows);
        let all: Vec<Row> = self.rows.iter().cycle().take(wanted).cloned().collect();
        let passes = all.chunks(rows).map(<[Row]>::to_vec).collect();
        Workload { kind: self.kind, rows, passes }
    }
}

impl Workload {
    /// Most tokens of a pass.
    pub(super) fn tokens_max(&self, rules: &RowRules) -> usize {
        let tokens = |pass: &Vec<Row>| pass.iter().map(|row| rules.tokens(row)).sum();
        self.passes.iter().map(tokens).max().unwrap_or(1)
    }

    pub(super) fn rows_in_round(&self) -> usize {
        self.passes.iter().map(Vec::len).sum()
    }

    /// What is to be said of a variant that leaves by thresholds.
    pub(super) fn caveat(&self, variant: &str, exits: &ExitPlan) -> Option<&'static str> {
        let is_by_threshold = ["release", "compact"].contains(&variant) && !exits.is_off();
        (self.kind != "inputs" && is_by_threshold).then_some(RANDOM_TOKENS)
    }

    pub(super) fn describe(&self) -> String {
        format!("{}, {}", counted(self.rows as u64, "row"), self.kind)
    }

    /// The passes as batches.
    pub(super) fn batches(&self, engine: &Engine) -> Result<Vec<Batch>> {
        let batch = |pass: &Vec<Row>| {
            let mut batch = engine.batch();
            for row in pass {
                batch.push_row(row).map_err(offramp::Error::from)?;
            }
            Ok(batch)
        };
        self.passes.iter().map(batch).collect()
    }
}

/// Where rows leave, by decree.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitProfile {
    /// The same share at every exit
    Uniform,
    /// Half of the rows at the first ramp, half of the rest at the second, and so on
    Easy,
    /// The same from the other end: half of the rows run to the end
    Late,
}

impl ExitProfile {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "profile uniform",
            Self::Easy => "profile easy",
            Self::Late => "profile late",
        }
    }

    /// One window for each row, spread evenly over the rows.
    pub(super) fn windows(self, ramps: usize, rows: usize) -> Vec<ExitWindow> {
        let shares = self.shares(ramps);
        let mut order: Vec<f64> =
            (0..rows).map(|row| (row as f64 + 0.5) / rows.max(1) as f64).collect();
        fastrand::Rng::with_seed(SEED).shuffle(&mut order);
        let window = |mut part: f64| {
            let exit = shares.iter().position(|share| {
                part -= share;
                part < 0.0
            });
            match exit.filter(|&exit| exit < ramps) {
                Some(exit) => ExitWindow { first: exit as u32, last: exit as u32 },
                None => ExitWindow::ANY,
            }
        };
        order.into_iter().map(window).collect()
    }

    /// By exit, the final one last; they sum to 1.
    fn shares(self, ramps: usize) -> Vec<f64> {
        let exits = ramps + 1;
        let halves = |place: usize| 0.5_f64.powi((place + 1).min(ramps) as i32);
        (0..exits)
            .map(|exit| match self {
                Self::Uniform => 1.0 / exits as f64,
                Self::Easy => halves(exit),
                Self::Late => halves(ramps - exit),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use offramp::{TextRules, TokenRow};

    use super::*;

    #[test]
    fn profiles_share_out_all_rows() {
        for profile in [ExitProfile::Uniform, ExitProfile::Easy, ExitProfile::Late] {
            for ramps in 1..8 {
                let sum: f64 = profile.shares(ramps).iter().sum();
                assert!((sum - 1.0).abs() < 1e-12, "{profile:?} {ramps}: {sum}");
            }
        }
        let windows = ExitProfile::Easy.windows(3, 64);
        let at = |exit| windows.iter().filter(|window| window.last == exit).count();
        assert_eq!([at(0), at(1), at(2), at(u32::MAX)], [32, 16, 8, 8]);
    }

    #[test]
    fn few_rows_are_repeated_and_all_are_run() {
        let row = Row::Text(TokenRow { ids: vec![1; 4], kinds: vec![] });
        let rows = Rows { kind: "fixed", rows: vec![row.clone()] };
        let load = rows.cut(8);
        let (vocab, kinds, tokens_max, position_offset, pad_token) = (10, 0, 6, 0, 0);
        let text = TextRules { vocab, kinds, tokens_max, position_offset, pad_token };
        assert_eq!((load.rows_in_round(), load.tokens_max(&RowRules::Text(text))), (8, 32));
        let rows = Rows { kind: "fixed", rows: vec![row; 30] };
        assert_eq!(rows.cut(8).rows_in_round(), 30);
    }
}
