//! Drawings of one or more loads side by side.

use std::collections::{BTreeMap, BTreeSet};

use offramp_protocol::{Exit, Verdict};

use super::drive::{Driven, End};
use crate::chart::{Axis, Curve, bars, curves};
use crate::html::{escape, push};

/// Points of a curve, and stretches of time.
const POINTS: usize = 200;
const STRETCHES: usize = 40;
/// Thresholds are numbered: they have no unit, and no halves.
const VERSION: &str = "";

/// A load by its name.
pub(crate) struct Run<'a> {
    pub(crate) name: &'a str,
    pub(crate) driven: &'a Driven,
    pub(crate) pass_rows: &'a BTreeMap<u64, u64>,
    /// By request whether the answer is the full model's, where both are known.
    pub(crate) same: Option<Vec<Option<bool>>>,
}

/// Loads of a server, with what was measured as part of the page.
pub(crate) fn section(page: &mut String, about: &str, figures: &str, runs: &[Run<'_>]) {
    push(page, format_args!("<p>{}</p>\n{figures}", escape(about)));
    // Without a run there is nothing to draw.
    let plots = if runs.is_empty() { Vec::new() } else { plots(runs) };
    for (title, drawing) in plots {
        push(page, format_args!("<h3>{}</h3>\n{drawing}", escape(title)));
    }
}

/// Titles and drawings.
fn plots(runs: &[Run<'_>]) -> Vec<(&'static str, String)> {
    let mut plots = vec![
        ("How soon answers arrive, from the time requests were due", latencies(runs)),
        ("Where rows leave", exits(runs)),
        ("Passes by their rows, at most", passes(runs)),
        ("Median latency over time", over_time(runs, "ms", Since::Stretch, &median_ms)),
        ("Share of the layers run, over time", over_time(runs, "%", Since::Stretch, &mean_depth)),
    ];
    if runs.iter().any(|run| run.same.is_some()) {
        let drawing = over_time(runs, "%", Since::Start, &differing);
        plots.push(("Answers so far that differ from the full model's", drawing));
    }
    plots.push((
        "Version of the thresholds over time",
        over_time(runs, VERSION, Since::Stretch, &version),
    ));
    plots
}

/// A request that was answered.
struct Answered<'a> {
    due_s: f64,
    waited_ms: f64,
    verdict: &'a Verdict,
    same: Option<bool>,
}

impl Run<'_> {
    fn answered(&self) -> impl Iterator<Item = Answered<'_>> {
        self.driven.ends.iter().enumerate().filter_map(|(index, end)| {
            let End::Answered(waited, verdict) = end else { return None };
            let same = self.same.as_ref().and_then(|same| same[index]);
            let (due_s, waited_ms) = (self.driven.due_s[index], waited.as_secs_f64() * 1e3);
            Some(Answered { due_s, waited_ms, verdict, same })
        })
    }
}

fn latencies<'a>(runs: &[Run<'a>]) -> String {
    let of = |run: &Run<'_>| {
        let mut waited: Vec<f64> = run.answered().map(|answered| answered.waited_ms).collect();
        waited.sort_by(f64::total_cmp);
        waited
    };
    let all: Vec<Vec<f64>> = runs.iter().map(of).collect();
    let rank = |waited: &[f64], share: f64| {
        let last = waited.len().saturating_sub(1);
        waited.get((share * last as f64) as usize).copied()
    };
    let ends = |share: f64| all.iter().filter_map(move |waited| rank(waited, share));
    let (low, high) = (ends(0.001).fold(f64::MAX, f64::min), ends(0.999).fold(0.0, f64::max));
    let curve = |(run, waited): (&Run<'a>, &Vec<f64>)| {
        let share = |nth: usize| nth as f64 / POINTS as f64;
        let point = |nth| Some((rank(waited, share(nth))?, 100.0 * share(nth)));
        (run.name, (0..=POINTS).filter_map(point).collect())
    };
    let shown: Vec<Curve<'_>> = runs.iter().zip(&all).map(curve).collect();
    let (time, share) = (Axis::log(low.min(high), high, "ms"), Axis::linear(100.0, "%"));
    curves("share of requests answered by a time", time, share, &shown)
}

fn exits(runs: &[Run<'_>]) -> String {
    let counts: Vec<BTreeMap<Exit, u64>> = runs.iter().map(by_exit).collect();
    let all: BTreeSet<Exit> = counts.iter().flat_map(BTreeMap::keys).copied().collect();
    let row = |exit: &Exit| {
        let name = match exit {
            Exit::Site(site) => format!("ramp {site}"),
            Exit::Final => "final".to_owned(),
        };
        (name, counts.iter().map(|counts| part(counts, exit)).collect())
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    bars("share of answers by exit", &names(runs), &rows)
}

fn by_exit(run: &Run<'_>) -> BTreeMap<Exit, u64> {
    let mut counts = BTreeMap::new();
    run.answered().for_each(|answered| *counts.entry(answered.verdict.exit).or_default() += 1);
    counts
}

fn passes(runs: &[Run<'_>]) -> String {
    let all: BTreeSet<u64> = runs.iter().flat_map(|run| run.pass_rows.keys()).copied().collect();
    let row = |rows: &u64| {
        let name = if *rows == u64::MAX { "more".to_owned() } else { rows.to_string() };
        (name, runs.iter().map(|run| part(run.pass_rows, rows)).collect())
    };
    let rows: Vec<_> = all.iter().map(row).collect();
    bars("share of passes by rows", &names(runs), &rows)
}

/// A key's share of all counts.
fn part<K: Ord>(counts: &BTreeMap<K, u64>, key: &K) -> f64 {
    let sum: u64 = counts.values().sum();
    counts.get(key).map_or(0.0, |&count| count as f64 / sum.max(1) as f64)
}

fn names<'a>(runs: &[Run<'a>]) -> Vec<&'a str> {
    runs.iter().map(|run| run.name).collect()
}

/// Which answers make a point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Those of its stretch of time.
    Stretch,
    /// All until then.
    Start,
}

/// A figure of answers over time, by when requests were due.
fn over_time(
    runs: &[Run<'_>],
    unit: &'static str,
    since: Since,
    figure: &dyn Fn(&[Answered<'_>]) -> Option<f64>,
) -> String {
    let ends = runs.iter().filter_map(|run| run.driven.due_s.last().copied());
    let end_s = ends.fold(1e-3, f64::max);
    let of = |run: &Run<'_>| {
        let mut all: Vec<Answered<'_>> = run.answered().collect();
        all.sort_by(|a, b| a.due_s.total_cmp(&b.due_s));
        let begin_s = |nth: usize| nth as f64 / STRETCHES as f64 * end_s;
        let place = |nth: usize| all.partition_point(|answered| answered.due_s < begin_s(nth));
        let point = |nth: usize| {
            let until = if nth + 1 < STRETCHES { place(nth + 1) } else { all.len() };
            let from = if since == Since::Start { 0 } else { place(nth) };
            Some((0.5 * (begin_s(nth) + begin_s(nth + 1)), figure(&all[from..until])?))
        };
        (0..STRETCHES).filter_map(point).collect::<Vec<_>>()
    };
    let all: Vec<Curve<'_>> = runs.iter().map(|run| (run.name, of(run))).collect();
    let most =
        all.iter().flat_map(|curve| &curve.1).fold(0.0, |most: f64, point| most.max(point.1));
    let scale = match unit {
        VERSION => Axis::whole(most),
        "%" => Axis::linear(most.max(1.0), unit),
        _ => Axis::linear(1.1 * most.max(1e-3), unit),
    };
    curves("over time", Axis::linear(end_s, "s"), scale, &all)
}

fn median_ms(stretch: &[Answered<'_>]) -> Option<f64> {
    let mut waited: Vec<f64> = stretch.iter().map(|answered| answered.waited_ms).collect();
    waited.sort_by(f64::total_cmp);
    waited.get(waited.len() / 2).copied()
}

fn mean_depth(stretch: &[Answered<'_>]) -> Option<f64> {
    let sum: f64 = stretch.iter().map(|answered| f64::from(answered.verdict.depth)).sum();
    (!stretch.is_empty()).then(|| 100.0 * sum / stretch.len() as f64)
}

fn differing(stretch: &[Answered<'_>]) -> Option<f64> {
    let known = stretch.iter().filter_map(|answered| answered.same);
    let (differ, all) =
        known.fold((0, 0), |(differ, all), is_same| (differ + usize::from(!is_same), all + 1));
    (all > 0).then(|| 100.0 * differ as f64 / all as f64)
}

fn version(stretch: &[Answered<'_>]) -> Option<f64> {
    stretch.last().map(|answered| answered.verdict.threshold_version as f64)
}
