//! Thresholds, agreement and exits over time, as a drawing that stands by itself.

use offramp::tune::{Fate, Rehearsal};

use crate::report::push;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 60.0;
const PLOT: f64 = 150.0;
const GAP: f64 = 50.0;
/// Points of a curve.
const POINTS: usize = 120;

/// Three plots over the same rows.
pub(super) fn draw(rehearsal: &Rehearsal, sites: &[usize], limit: f64) -> String {
    let height = 3.0 * (PLOT + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"none\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let rows = rehearsal.fates.len().max(1);
    let most = 3.0 * limit;
    frame(&mut svg, 0, "thresholds, by ramp (top: nobody leaves)", ("0", "1"));
    for ramp in 0..sites.len() {
        let steps = rehearsal.changes.iter().map(|(row, change)| (*row, change.thresholds[ramp]));
        line(&mut svg, 0, ramp, &staircase(steps, rows));
    }
    let top = format!("{:.1} %", 100.0 * most);
    frame(&mut svg, 1, "disagreement (dashed: promised)", ("0", &top));
    let wrong = |fates: &[Fate]| share(fates, |fate| !fate.agrees) / most;
    line(&mut svg, 1, 0, &curve(&rehearsal.fates, wrong));
    let y = PLOT + GAP + 30.0 + (PLOT - 30.0) * (1.0 - limit / most);
    push(&mut svg, format_args!("<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" "));
    svg.push_str("stroke=\"#b00\" stroke-dasharray=\"6 4\"/>\n");
    frame(&mut svg, 2, "share of rows that have left by each ramp", ("0", "1"));
    for ramp in 0..sites.len() {
        let left = |fates: &[Fate]| share(fates, |fate| fate.exit <= ramp);
        line(&mut svg, 2, ramp, &curve(&rehearsal.fates, left));
    }
    svg.push_str("</svg>\n");
    svg
}

fn share(fates: &[Fate], is: impl Fn(&Fate) -> bool) -> f64 {
    fates.iter().filter(|fate| is(fate)).count() as f64 / fates.len().max(1) as f64
}

/// Shares over a sliding stretch: x and y from 0 to 1.
fn curve(fates: &[Fate], share: impl Fn(&[Fate]) -> f64) -> Vec<(f64, f64)> {
    let stretch = (fates.len() / 24).clamp(1, 1000);
    let last = fates.len().saturating_sub(stretch);
    let point = |nth: usize| {
        let from = last * nth / POINTS;
        let to = (from + stretch).min(fates.len());
        (to as f64 / fates.len().max(1) as f64, share(&fates[from..to]))
    };
    (0..=POINTS).map(point).collect()
}

/// A threshold holds until the next change; one that lets nobody out is drawn at the top.
fn staircase(steps: impl Iterator<Item = (usize, f32)>, rows: usize) -> Vec<(f64, f64)> {
    let mut points = vec![(0.0, 1.0)];
    for (row, threshold) in steps {
        let x = row as f64 / rows as f64;
        let before = points.last().map_or(1.0, |point| point.1);
        points.extend([(x, before), (x, f64::from(threshold).min(1.0))]);
    }
    points.push((1.0, points.last().map_or(1.0, |point| point.1)));
    points
}

fn frame(svg: &mut String, plot: usize, title: &str, (low, high): (&str, &str)) {
    let top = (PLOT + GAP) * plot as f64;
    let (head, bottom) = (top + 30.0, top + PLOT);
    push(
        svg,
        format_args!("<g fill=\"#333\"><text x=\"{LEFT}\" y=\"{}\">{title}</text>", top + 18.0),
    );
    push(svg, format_args!("<text x=\"8\" y=\"{}\">{high}</text>", head + 6.0));
    push(svg, format_args!("<text x=\"8\" y=\"{bottom}\">{low}</text></g>\n"));
    for y in [head, bottom] {
        push(svg, format_args!("<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\" "));
        svg.push_str("stroke=\"#ddd\"/>\n");
    }
}

/// Ramps run from blue to orange.
fn line(svg: &mut String, plot: usize, nth: usize, points: &[(f64, f64)]) {
    let (top, tall) = ((PLOT + GAP) * plot as f64 + 30.0, PLOT - 30.0);
    let hue = (210 + 35 * nth) % 360;
    push(
        svg,
        format_args!("<polyline stroke=\"hsl({hue} 70% 45%)\" stroke-width=\"1.5\" points=\""),
    );
    for (x, y) in points {
        let (x, y) = (LEFT + (WIDTH - LEFT) * x, top + tall * (1.0 - y.min(1.0)));
        push(svg, format_args!("{x:.1},{y:.1} "));
    }
    svg.push_str("\"/>\n");
}
