//! Curves and bars, drawn as SVG that needs nothing else.

use crate::html::{escape, push};
use crate::table::digits;

pub(crate) const WIDTH: f64 = 720.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 30.0;
const PLOT: f64 = 220.0;
const LEGEND_STEP: f64 = 130.0;

/// Labels of a linear axis, about.
const TICKS: f64 = 4.0;

/// One direction of a chart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) is_log: bool,
    /// Only whole numbers are labelled.
    pub(crate) is_whole: bool,
    pub(crate) unit: &'static str,
}

/// A name and its points.
pub(crate) type Curve<'a> = (&'a str, Vec<(f64, f64)>);

impl Axis {
    /// From 0 to `high`.
    pub(crate) fn linear(high: f64, unit: &'static str) -> Self {
        Self { low: 0.0, high: high.max(1e-9), is_log: false, is_whole: false, unit }
    }

    /// From 0 to at least `high`, for what is counted or numbered.
    pub(crate) fn whole(high: f64) -> Self {
        Self { is_whole: true, ..Self::linear(high.ceil().max(1.0), "") }
    }

    /// From `low` to `high` by factors.
    pub(crate) fn log(low: f64, high: f64, unit: &'static str) -> Self {
        let low = low.max(1e-6);
        Self { low, high: high.max(1.01 * low), is_log: true, is_whole: false, unit }
    }

    /// Where a value lies, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.is_log { value.max(self.low).ln() } else { value };
        let (low, high) = (scale(self.low), scale(self.high));
        ((scale(value) - low) / (high - low)).clamp(0.0, 1.0)
    }

    /// Round values to label.
    fn ticks(&self) -> Vec<f64> {
        if !self.is_log {
            let step = round_step((self.high - self.low) / TICKS);
            let step = if self.is_whole { step.ceil() } else { step };
            let steps = ((self.high - self.low) / step + 1e-9) as u32;
            return (0..=steps).map(|nth| self.low + step * f64::from(nth)).collect();
        }
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all =
            decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }

    fn label(&self, value: f64) -> String {
        if self.is_whole {
            return format!("{value:.0}");
        }
        digits(value, self.unit)
    }
}

/// A round number at or above `least`, which is above 0.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0].map(|digit| digit * decade);
    round.into_iter().find(|&step| step >= least * (1.0 - 1e-9)).unwrap_or(10.0 * decade)
}

/// Curves over two axes, each in the colour of its turn.
pub(crate) fn curves(what: &str, x: Axis, y: Axis, curves: &[Curve<'_>]) -> String {
    let mut svg = open(what, TOP + PLOT + 30.0);
    let place = |(at_x, at_y): (f64, f64)| {
        (LEFT + (WIDTH - LEFT - RIGHT) * x.part(at_x), TOP + PLOT * (1.0 - y.part(at_y)))
    };
    for tick in y.ticks() {
        let (_, at) = place((x.low, tick));
        let (right, end, below) = (WIDTH - RIGHT, LEFT - 8.0, at + 4.0);
        push(&mut svg, format_args!("<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" "));
        push(&mut svg, format_args!("y1=\"{at:.1}\" y2=\"{at:.1}\"/>"));
        text(&mut svg, (end, below), "end", &y.label(tick));
    }
    for tick in x.ticks() {
        text(&mut svg, (place((tick, y.low)).0, TOP + PLOT + 20.0), "middle", &x.label(tick));
    }
    for (index, (name, points)) in curves.iter().enumerate() {
        push(&mut svg, format_args!("<polyline class=\"curve\" style=\"stroke:var(--c{index})\""));
        svg.push_str(" points=\"");
        for &point in points {
            let (at_x, at_y) = place(point);
            push(&mut svg, format_args!("{at_x:.1},{at_y:.1} "));
        }
        svg.push_str("\"/>\n");
        legend(&mut svg, index, name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// For each label a bar of every name, from 0 to 1.
pub(crate) fn bars(what: &str, names: &[&str], rows: &[(String, Vec<f64>)]) -> String {
    const BAR: f64 = 12.0;
    const STEP: f64 = 15.0;
    let group = STEP * names.len() as f64 + 8.0;
    let mut svg = open(what, TOP + group * rows.len() as f64);
    names.iter().enumerate().for_each(|(index, name)| legend(&mut svg, index, name));
    let most = rows.iter().flat_map(|row| &row.1).fold(0.01, |most: f64, &share| most.max(share));
    for (nth, (label, shares)) in rows.iter().enumerate() {
        let top = TOP + group * nth as f64;
        text(&mut svg, (LEFT - 8.0, top + STEP * names.len() as f64 / 2.0 + 3.0), "end", label);
        for (index, share) in shares.iter().enumerate() {
            let y = top + STEP * index as f64;
            let width = (WIDTH - LEFT - RIGHT - 50.0) * share / most;
            push(&mut svg, format_args!("<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" "));
            push(&mut svg, format_args!("height=\"{BAR}\" style=\"fill:var(--c{index})\"/>"));
            let percent = digits(100.0 * share, "%");
            text(&mut svg, (LEFT + width + 6.0, y + 10.0), "start", &percent);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Begins a drawing.
pub(crate) fn open(what: &str, height: f64) -> String {
    let what = escape(what);
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{what}\">\n")
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    push(svg, format_args!("<text class=\"soft\" x=\"{x:.1}\" y=\"{y:.1}\" "));
    push(svg, format_args!("text-anchor=\"{anchor}\">{}</text>\n", escape(text)));
}

/// Above the plot, side by side.
fn legend(svg: &mut String, index: usize, name: &str) {
    let x = LEFT + LEGEND_STEP * index as f64;
    push(svg, format_args!("<rect x=\"{x}\" y=\"6\" width=\"14\" height=\"4\" "));
    push(svg, format_args!("style=\"fill:var(--c{index})\"/>"));
    push(svg, format_args!("<text x=\"{}\" y=\"12\">{}</text>\n", x + 20.0, escape(name)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_they_belong() {
        let time = Axis::log(1.0, 100.0, "ms");
        assert!((time.part(10.0) - 0.5).abs() < 1e-9);
        assert_eq!((time.part(0.1), time.part(1e4)), (0.0, 1.0));
        assert_eq!(time.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(Axis::linear(8.0, "").ticks(), [0.0, 2.0, 4.0, 6.0, 8.0]);
        assert_eq!(Axis::linear(1.42, "").ticks(), [0.0, 0.5, 1.0]);
        assert_eq!(Axis::linear(137.0, "").ticks(), [0.0, 50.0, 100.0]);
        assert_eq!(Axis::linear(0.2, "").ticks().len(), 5);
        for high in [0.0, 1.0, 2.0, 9.9, 11.0, 97.0, 1234.0] {
            let (axis, plain) = (Axis::whole(high), Axis::linear(high, ""));
            let labels: Vec<String> = axis.ticks().iter().map(|&tick| axis.label(tick)).collect();
            assert!(axis.ticks().iter().all(|tick| tick.fract() == 0.0), "{labels:?}");
            assert!(labels.iter().all(|it| !it.contains('.')) && labels.len() <= 6, "{labels:?}");
            assert!(axis.high >= plain.high && axis.ticks().len() > 1);
        }
    }

    #[test]
    fn names_are_escaped_and_every_curve_is_drawn() {
        let of = [("a<b", vec![(0.0, 0.0), (1.0, 1.0)]), ("c", vec![])];
        let svg = curves("x", Axis::linear(1.0, ""), Axis::linear(1.0, ""), &of);
        assert!(svg.contains("a&lt;b") && svg.matches("<polyline").count() == 2, "{svg}");
    }
}
