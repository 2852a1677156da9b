//! Drawings of the report: bars of exits, curves of latency.

use crate::compare::Figures;
use crate::race::{Tally, quantile_ms};
use crate::report::{escape, push};
use crate::table::{digits, percent};

const WIDTH: f64 = 720.0;
/// Room for labels on the left.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 70.0;
const BAR_HEIGHT: f64 = 20.0;
const BAR_STEP: f64 = 30.0;
/// Height of the curves' plot.
const PLOT: f64 = 240.0;
const TOP: f64 = 12.0;
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
    let mut svg = open("share of rows answered over time", TOP + PLOT + 40.0);
    let ends = tallies.iter().map(|tally| quantile_ms(&tally.row_ns, SHOWN_QUANTILE));
    let end_ms = ends.fold(1e-6, f64::max);
    axes(&mut svg, end_ms);
    for (index, tally) in tallies.iter().enumerate() {
        let points = curve(tally, end_ms);
        push(
            &mut svg,
            format_args!(
                "<polyline class=\"curve\" style=\"stroke:var(--c{index})\" points=\"{points}\"/>\n"
            ),
        );
        legend(&mut svg, index, tally.name);
    }
    svg.push_str("</svg>\n");
    svg
}

fn open(what: &str, height: f64) -> String {
    let what = escape(what);
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{what}\">\n")
}

fn axes(svg: &mut String, end_ms: f64) {
    const STEPS: usize = 4;
    for step in 0..=STEPS {
        let part = step as f64 / STEPS as f64;
        let (x, y) = place(part * end_ms, part, end_ms);
        let (right, bottom) = (WIDTH - RIGHT, TOP + PLOT);
        push(
            svg,
            format_args!(
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            ),
        );
        let (share, label_y) = (100.0 * part, y + 4.0);
        let end = LEFT - 8.0;
        push(svg, format_args!("<text class=\"soft\" x=\"{end}\" y=\"{label_y:.1}\" "));
        push(svg, format_args!("text-anchor=\"end\">{share:.0} %</text>"));
        let time = digits(part * end_ms, "ms");
        let below = bottom + 20.0;
        push(svg, format_args!("<text class=\"soft\" x=\"{x:.1}\" y=\"{below:.1}\" "));
        push(svg, format_args!("text-anchor=\"middle\">{time}</text>\n"));
    }
}

fn curve(tally: &Tally, end_ms: f64) -> String {
    let mut points = String::new();
    for step in 0..=POINTS {
        let time_ms = end_ms * step as f64 / POINTS as f64;
        let share = tally.row_ns.quantile_below((time_ms * 1e6) as u64);
        let share = if step == 0 { 0.0 } else { share };
        let (x, y) = place(time_ms, share, end_ms);
        push(&mut points, format_args!("{x:.1},{y:.1} "));
    }
    points
}

fn legend(svg: &mut String, index: usize, name: &str) {
    let y = TOP + PLOT - 14.0 - 18.0 * (2 - index.min(2)) as f64;
    let x = WIDTH - RIGHT - 110.0;
    push(svg, format_args!("<rect x=\"{x}\" y=\"{:.1}\" width=\"14\" height=\"4\" ", y - 6.0));
    push(svg, format_args!("style=\"fill:var(--c{index})\"/>"));
    push(svg, format_args!("<text x=\"{}\" y=\"{y}\">{}</text>\n", x + 20.0, escape(name)));
}

fn place(time_ms: f64, share: f64, end_ms: f64) -> (f64, f64) {
    (LEFT + (WIDTH - LEFT - RIGHT) * time_ms / end_ms, TOP + PLOT * (1.0 - share))
}
