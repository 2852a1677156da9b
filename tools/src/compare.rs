//! Exits against the full model on the same inputs: the figures of `demo` and `evaluate`.

use offramp::{AfterExit, Batch, Engine, Exit, Exits, Model, Row};
use serde::Serialize;

use crate::agreement::Agreement;
use crate::failure::{Failure, Result};
use crate::quality::Quality;
use crate::race::{Outcome, Tally, Variant, quantile_ms};
use crate::rows::Row as Labelled;
use crate::table::{Table, digits, fine_percent, grouped, ms, percent, share_bar};

/// Full depth, release and compact, in this order.
pub(crate) fn variants(full: Exits, early: &Exits) -> Vec<Variant> {
    let variant = |name, exits, after_exit| Variant { name, exits, after_exit, windows: vec![] };
    vec![
        variant("full depth", full, AfterExit::Compact),
        variant("release", early.clone(), AfterExit::Release),
        variant("compact", early.clone(), AfterExit::Compact),
    ]
}

/// Rows packed into batches as large as the engine takes, in order.
pub(crate) fn batches<'a>(
    engine: &Engine,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<Vec<Batch>> {
    let mut batches = vec![engine.batch()];
    for (index, row) in rows.into_iter().enumerate() {
        let is_full = |batch: &mut Batch| match batch.push_row(row) {
            Ok(slot) => Ok(slot.is_none()),
            Err(error) => Err(Failure::Usage(format!("input {index}: {error}"))),
        };
        if batches.last_mut().map_or(Ok(true), is_full)? {
            let mut next = engine.batch();
            is_full(&mut next)?;
            batches.push(next);
        }
    }
    Ok(batches)
}

/// What one variant did, next to the full model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) variant: &'static str,
    pub(crate) rows_per_s: f64,
    pub(crate) speed_up: f64,
    pub(crate) row_ms_p50: f64,
    pub(crate) row_ms_p95: f64,
    pub(crate) mean_depth: f64,
    #[serde(flatten)]
    pub(crate) agreement: Agreement,
    #[serde(flatten)]
    pub(crate) quality: Quality,
    pub(crate) exits: Vec<ExitFigures>,
}

/// What one exit did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExitFigures {
    /// A site, or none for the final exit.
    pub(crate) site: Option<usize>,
    pub(crate) threshold: Option<f32>,
    pub(crate) rows: usize,
    pub(crate) share: f64,
    /// Share of these rows answered as by the full model.
    pub(crate) agreement: Option<f64>,
}

/// The figures of all variants; the first is the full model.
pub(crate) fn figures(
    model: &Model,
    engine: &Engine,
    rows: &[Labelled],
    variants: &[Variant],
    tallies: &[Tally],
) -> Vec<Figures> {
    let Some(full) = tallies.first() else { return Vec::new() };
    let of = |(variant, tally): (&Variant, &Tally)| Figures {
        variant: tally.name,
        rows_per_s: tally.rows_per_s(),
        speed_up: tally.speed_up(full),
        row_ms_p50: quantile_ms(&tally.row_ns, 0.5),
        row_ms_p95: quantile_ms(&tally.row_ns, 0.95),
        mean_depth: tally.mean_depth(),
        agreement: Agreement::counted(
            tally.disagreements(full, engine.decision()),
            tally.rows() as u64,
        ),
        quality: quality(model, rows, tally),
        exits: exits(engine, variant, tally, full),
    };
    variants.iter().zip(tallies).map(of).collect()
}

fn quality(model: &Model, rows: &[Labelled], tally: &Tally) -> Quality {
    let pairs = rows.iter().zip(&tally.outcomes);
    let labelled = pairs.filter_map(|(row, outcome)| Some((row.label.as_ref()?, outcome.label)));
    Quality::of(model, labelled)
}

fn exits(engine: &Engine, variant: &Variant, tally: &Tally, full: &Tally) -> Vec<ExitFigures> {
    let ramps = engine.plan().ramp_sites().enumerate().map(|(ramp, site)| {
        let threshold = Some(variant.exits.thresholds[ramp]).filter(|&t| t < offramp::OFF);
        (Exit::Site(site), Some(site), threshold)
    });
    let all = ramps.chain([(Exit::Final, None, None)]);
    all.map(|(exit, site, threshold)| {
        let rows = tally.exits_at(exit);
        let pairs = tally.outcomes.iter().zip(&full.outcomes);
        let decision = engine.decision();
        let is_same = |(own, full): &(&Outcome, &Outcome)| {
            own.exit == exit && decision.agree(own.label, full.label)
        };
        let same = pairs.filter(is_same).count();
        let agreement = (rows > 0).then(|| same as f64 / rows as f64);
        let share = rows as f64 / tally.rows().max(1) as f64;
        ExitFigures { site, threshold, rows, share, agreement }
    })
    .collect()
}

/// Names of the lines of [`cells`].
const MEASURES: [&str; 8] = [
    "rows/s",
    "speed-up",
    "latency p50",
    "latency p95",
    "mean depth",
    "agreement",
    "  at least (95 %)",
    "accuracy",
];

/// What stands in the last line where the model gives a number.
const MEAN_ERROR: &str = "mean error";

fn cells(figures: &Figures) -> [String; 8] {
    let Figures { agreement, .. } = figures;
    let is_full = agreement.disagreements == 0 && figures.mean_depth >= 1.0;
    [
        grouped(figures.rows_per_s),
        digits(figures.speed_up, "x"),
        ms(figures.row_ms_p50),
        ms(figures.row_ms_p95),
        percent(figures.mean_depth),
        fine_percent(agreement.agreement),
        if is_full { "-".to_owned() } else { fine_percent(agreement.agreement_at_least) },
        match figures.quality {
            Quality { mean_absolute_error: Some(error), .. } => format!("{error:.4}"),
            Quality { accuracy, .. } => accuracy.map_or("-".to_owned(), fine_percent),
        },
    ]
}

/// The variants side by side.
pub(crate) fn side_by_side(figures: &[Figures]) -> Vec<Vec<String>> {
    let columns: Vec<_> = figures.iter().map(cells).collect();
    let is_number = figures.iter().any(|of| of.quality.mean_absolute_error.is_some());
    let line = |(index, name): (usize, &&str)| {
        let values = columns.iter().map(|column| column[index].clone());
        let name = if index + 1 == MEASURES.len() && is_number { MEAN_ERROR } else { *name };
        [name.to_owned()].into_iter().chain(values).collect()
    };
    MEASURES.iter().enumerate().map(line).collect()
}

/// The comparison for a terminal.
pub(crate) fn table(figures: &[Figures]) -> String {
    let header: Vec<&str> = [""].into_iter().chain(figures.iter().map(|f| f.variant)).collect();
    let mut table = Table::new(&header);
    side_by_side(figures).into_iter().for_each(|line| table.texts(line));
    table.to_string()
}

/// Where rows left, for a terminal.
pub(crate) fn exits_table(figures: &Figures) -> String {
    let mut table = Table::new(&["exit", "threshold", "rows", "share", "agreement", ""]);
    for exit in &figures.exits {
        let threshold = match (exit.site, exit.threshold) {
            (None, _) => "-".to_owned(),
            (_, None) => "off".to_owned(),
            (_, Some(threshold)) => format!("{threshold:.4}"),
        };
        table.texts([
            exit.name(),
            threshold,
            exit.rows.to_string(),
            percent(exit.share),
            exit.agreement.map_or("-".to_owned(), percent),
            share_bar(exit.share),
        ]);
    }
    table.to_string()
}

impl ExitFigures {
    pub(crate) fn name(&self) -> String {
        self.site.map_or("final".to_owned(), |site| format!("ramp {site}"))
    }
}
