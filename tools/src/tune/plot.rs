//! Thresholds, agreement and exits over time, as a drawing that stands by itself.

use offramp_tune::{Fate, Rehearsal};

use crate::html::push;

const WIDTH: f64 = 900.0;
const LEFT: f64 = 60.0;
const PLOT: f64 = 150.0;
const GAP: f64 = 50.0;
/// Points of a curve.
const POINTS: usize = 120;
/// Room for a name in the legend, for its lines, and for all of them.
const NAME: f64 = 80.0;
const LINE: f64 = 18.0;
const LEGEND_LINES: usize = 2;
const LEGEND: f64 = LINE * LEGEND_LINES as f64;
/// From the first ramp's hue to where one more would be.
const HUES: usize = 320;

/// Three plots over the same rows.
pub(super) fn draw(rehearsal: &Rehearsal, sites: &[usize], limit: f64) -> String {
    let height = LEGEND + 3.0 * (PLOT + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"none\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    legend(&mut svg, sites);
    let ramps = sites.len();
    let rows = rehearsal.fates.len().max(1);
    let most = 3.0 * limit;
    frame(&mut svg, 0, "thresholds, by ramp (top: nobody leaves)", ("0", "1"));
    for ramp in 0..sites.len() {
        let steps = rehearsal.changes.iter().map(|(row, change)| (*row, change.thresholds[ramp]));
        line(&mut svg, 0, &colour(ramp, ramps), &staircase(steps, rows));
    }
    let high = format!("{:.1} %", 100.0 * most);
    frame(&mut svg, 1, "disagreement (dashed: promised)", ("0", &high));
    let wrong = |fates: &[Fate]| share(fates, |fate| !fate.agrees) / most;
    line(&mut svg, 1, "#444", &curve(&rehearsal.fates, wrong));
    let y = top(1) + 30.0 + (PLOT - 30.0) * (1.0 - limit / most);
    push(&mut svg, format_args!("<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" "));
    svg.push_str("stroke=\"#b00\" stroke-dasharray=\"6 4\"/>\n");
    frame(&mut svg, 2, "share of rows that have left by each ramp", ("0", "1"));
    for ramp in 0..sites.len() {
        let left = |fates: &[Fate]| share(fates, |fate| fate.exit <= ramp);
        line(&mut svg, 2, &colour(ramp, ramps), &curve(&rehearsal.fates, left));
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
    let top = top(plot);
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

/// Of the upper edge of a plot.
fn top(plot: usize) -> f64 {
    LEGEND + (PLOT + GAP) * plot as f64
}

/// Ramps run from blue on around most of the circle of hues.
fn colour(nth: usize, of: usize) -> String {
    format!("hsl({} 70% 45%)", (210 + HUES * nth / of.max(1)) % 360)
}

/// Which ramp has which colour, for as many as there is room for.
fn legend(svg: &mut String, sites: &[usize]) {
    let columns = ((WIDTH - LEFT) / NAME) as usize;
    let shown = sites.len().min(columns * LEGEND_LINES);
    for (nth, site) in sites.iter().take(shown).enumerate() {
        let (x, y) = (LEFT + NAME * (nth % columns) as f64, LINE * (nth / columns) as f64);
        push(svg, format_args!("<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"4\" ", y + 8.0));
        push(svg, format_args!("fill=\"{}\"/><text fill=\"#333\" ", colour(nth, sites.len())));
        push(svg, format_args!("x=\"{}\" y=\"{}\">ramp {site}</text>\n", x + 20.0, y + 14.0));
    }
}

fn line(svg: &mut String, plot: usize, colour: &str, points: &[(f64, f64)]) {
    let (top, tall) = (top(plot) + 30.0, PLOT - 30.0);
    push(svg, format_args!("<polyline stroke=\"{colour}\" stroke-width=\"1.5\" points=\""));
    for (x, y) in points {
        let (x, y) = (LEFT + (WIDTH - LEFT) * x, top + tall * (1.0 - y.min(1.0)));
        push(svg, format_args!("{x:.1},{y:.1} "));
    }
    svg.push_str("\"/>\n");
}
