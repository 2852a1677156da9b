//! Drawings of the report: bars of exits, curves of latency.

use crate::chart::{Axis, WIDTH, curves, open};
use crate::compare::Figures;
use crate::html::push;
use crate::race::{Tally, quantile_ms};
use crate::table::percent;

/// Room for labels on the left.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 70.0;
const BAR_HEIGHT: f64 = 20.0;
const BAR_STEP: f64 = 30.0;
/// Points of a curve.
const POINTS: usize = 200;
/// Quantile at which the time axis ends: the rare slow pass would squeeze the rest.
const SHOWN_QUANTILE: f64 = 0.99;

/// One bar for each exit.
pub(crate) fn exits(figures: &Figures) -> String {
    let height = BAR_STEP * figures.exits.len() as f64;
    let mut svg = open("share of rows leaving at each exit", height);
    let most = figures.exits.iter().map(|exit| exit.share).fold(0.01, f64::max);
    for (index, exit) in figures.exits.iter().enumerate() {
        let y = BAR_STEP * index as f64;
        let width = (WIDTH - LEFT - RIGHT) * exit.share / most;
        let text_y = y + 0.7 * BAR_HEIGHT;
        push(&mut svg, format_args!("<text x=\"0\" y=\"{text_y:.1}\">{}</text>", exit.name()));
        push(
            &mut svg,
            format_args!(
                "<rect class=\"bar\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" \
                 height=\"{BAR_HEIGHT}\" rx=\"2\"/>"
            ),
        );
        let (x, share) = (LEFT + width + 8.0, percent(exit.share));
        push(&mut svg, format_args!("<text x=\"{x:.1}\" y=\"{text_y:.1}\">{share}</text>\n"));
    }
    svg.push_str("</svg>\n");
    svg
}

/// One curve for each variant: the share of rows answered by a time.
pub(crate) fn latencies(tallies: &[Tally]) -> String {
    let ends = tallies.iter().map(|tally| quantile_ms(&tally.row_ns, SHOWN_QUANTILE));
    let end_ms = ends.fold(1e-6, f64::max);
    let of = |tally: &Tally| {
        let point = |step: usize| {
            let time_ms = end_ms * step as f64 / POINTS as f64;
            let share = tally.row_ns.quantile_below((time_ms * 1e6) as u64);
            (time_ms, if step == 0 { 0.0 } else { 100.0 * share })
        };
        (tally.name, (0..=POINTS).map(point).collect())
    };
    let all: Vec<_> = tallies.iter().map(of).collect();
    let (time, share) = (Axis::linear(end_ms, "ms"), Axis::linear(100.0, "%"));
    curves("share of rows answered over time", time, share, &all)
}
