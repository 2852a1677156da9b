//! What a benchmark tells: one object for each workload and variant, units in the names.

use offramp::{Engine, LiveBound};
use serde::Serialize;

use super::workload::Workload;
use crate::race::{Tally, quantile_ms};
use crate::table::{Table, digits, grouped, percent};

/// What all cells share.
pub(super) struct Machine {
    pub(super) device: String,
    pub(super) peak_gflops: f64,
    pub(super) reserved_bytes: usize,
}

/// One measurement.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) rows: usize,
    /// Mean over rows.
    pub(super) row_tokens: f64,
    pub(super) lengths: &'static str,
    pub(super) variant: &'static str,
    pub(super) rounds: usize,
    pub(super) rows_per_s: f64,
    pub(super) tokens_per_s: f64,
    /// Against the first variant of the cell.
    pub(super) speed_up: f64,
    pub(super) pass_ms_p50: f64,
    pub(super) pass_ms_p95: f64,
    pub(super) pass_ms_p99: f64,
    pub(super) row_ms_p50: f64,
    pub(super) row_ms_p95: f64,
    pub(super) row_ms_p99: f64,
    pub(super) mean_depth: f64,
    pub(super) gflops: f64,
    pub(super) peak_share: f64,
    pub(super) peak_gflops: f64,
    pub(super) reserved_bytes: usize,
    pub(super) device: String,
    /// What keeps the figures from saying what they seem to say.
    pub(super) caveat: Option<&'static str>,
}

impl Cell {
    pub(super) fn of(load: &Workload, engine: &Engine, tally: &Tally, first: &Tally) -> Self {
        let rows_per_s = tally.rows_per_s();
        let row_tokens = tally.tokens as f64 / tally.rows().max(1) as f64;
        let pass = |quantile| quantile_ms(&tally.pass_ns, quantile);
        let row = |quantile| quantile_ms(&tally.row_ns, quantile);
        Self {
            rows: load.rows,
            row_tokens,
            lengths: load.kind,
            variant: tally.name,
            rounds: tally.round_s.len(),
            rows_per_s,
            tokens_per_s: rows_per_s * row_tokens,
            speed_up: tally.speed_up(first),
            pass_ms_p50: pass(0.5),
            pass_ms_p95: pass(0.95),
            pass_ms_p99: pass(0.99),
            row_ms_p50: row(0.5),
            row_ms_p95: row(0.95),
            row_ms_p99: row(0.99),
            mean_depth: tally.mean_depth(),
            gflops: flops_per_row(engine, tally) * rows_per_s / 1e9,
            peak_share: 0.0,
            peak_gflops: 0.0,
            reserved_bytes: 0,
            device: String::new(),
            caveat: None,
        }
    }

    /// Fills in what is known at the end of the run.
    pub(super) fn relate(&mut self, machine: &Machine) {
        self.peak_share = self.gflops / machine.peak_gflops;
        self.peak_gflops = machine.peak_gflops;
        self.reserved_bytes = machine.reserved_bytes;
        self.device = machine.device.clone();
    }
}

/// Work done for a row: that of a whole forward, times the share of its token-segments that ran.
fn flops_per_row(engine: &Engine, tally: &Tally) -> f64 {
    let plan = engine.plan();
    let rows = tally.rows().max(1);
    let whole = plan.cost(LiveBound { rows, tokens: tally.tokens }).flops;
    let all = (tally.tokens * plan.segments.len()).max(1);
    whole / rows as f64 * tally.token_segments as f64 / all as f64
}

/// As Markdown, latencies in milliseconds.
pub(super) fn table(cells: &[Cell]) -> Table {
    let mut table = Table::markdown(&[
        "rows",
        "tokens",
        "variant",
        "rows/s",
        "speed-up",
        "pass p50/p95/p99 ms",
        "row p50/p95/p99 ms",
        "depth",
        "GFLOP/s",
        "of peak",
    ]);
    for cell in cells {
        table.texts([
            cell.rows.to_string(),
            format!("{:.0}", cell.row_tokens),
            cell.variant.to_owned(),
            grouped(cell.rows_per_s),
            format!("{:.2}", cell.speed_up),
            three([cell.pass_ms_p50, cell.pass_ms_p95, cell.pass_ms_p99]),
            three([cell.row_ms_p50, cell.row_ms_p95, cell.row_ms_p99]),
            percent(cell.mean_depth),
            digits(cell.gflops, ""),
            percent(cell.peak_share),
        ]);
    }
    table
}

fn three(values: [f64; 3]) -> String {
    values.map(|value| digits(value, "")).join(" / ")
}
