//! What a load has shown.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::drive::{Driven, End};
use super::search::Search;
use crate::agreement::Agreement;

/// Percentiles, with the answers it takes to name them at 99 % confidence where one of them may be
/// over (MLPerf's LoadGen).
const PERCENTILES: [(&str, f64, usize); 5] = [
    ("p50", 0.5, 11),
    ("p90", 0.9, 64),
    ("p95", 0.95, 130),
    ("p99", 0.99, 662),
    ("p99.9", 0.999, 6636),
];

/// A percentile with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Percentile {
    pub(crate) ms: f64,
    pub(crate) low_ms: f64,
    pub(crate) high_ms: f64,
}

/// Counts, rates and times of one load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoadResult {
    pub(crate) schema_version: u32,
    pub(crate) scenario: &'static str,
    pub(crate) sent: usize,
    pub(crate) ok: usize,
    /// By status; `lost` are those without a reply.
    pub(crate) failed: BTreeMap<String, usize>,
    pub(crate) elapsed_s: f64,
    pub(crate) offered_per_s: f64,
    pub(crate) answered_per_s: f64,
    pub(crate) slo_ms: f64,
    /// Answers within the objective.
    pub(crate) goodput_per_s: f64,
    /// From the time a request was due to its answer.
    pub(crate) latency: BTreeMap<String, Percentile>,
    pub(crate) queue_mean_ms: f64,
    pub(crate) compute_mean_ms: f64,
    /// How late requests were sent.
    pub(crate) send_lag_p99_ms: f64,
    pub(crate) send_lag_max_ms: f64,
    /// Answers by exit: a site, or `final`.
    pub(crate) exits: BTreeMap<String, usize>,
    pub(crate) mean_depth: f64,
    /// Passes of the server meanwhile by their rows: at most 1, 2, 4 and so on.
    pub(crate) pass_rows: BTreeMap<u64, u64>,
    pub(crate) accuracy: Option<f64>,
    pub(crate) agreement: Option<Agreement>,
    pub(crate) search: Option<Search>,
}

impl LoadResult {
    pub(crate) fn of(driven: &Driven, slo: Duration, seconds: f64) -> Self {
        let answered: Vec<_> = driven.ends.iter().filter_map(answered).collect();
        let mut failed = BTreeMap::new();
        for end in &driven.ends {
            let name = match end {
                End::Answered(..) => continue,
                End::Failed(status) => status.name(),
                End::Lost => "lost",
            };
            *failed.entry(name.to_owned()).or_default() += 1;
        }
        let mut exits = BTreeMap::new();
        for (_, verdict) in &answered {
            *exits.entry(verdict.exit.to_string()).or_default() += 1;
        }
        let mean = |of: &dyn Fn(usize) -> f64| {
            (0..answered.len()).map(of).sum::<f64>() / answered.len().max(1) as f64
        };
        let latencies = sorted_ms(answered.iter().map(|(waited, _)| *waited));
        let lags = sorted_ms(driven.lags.iter().copied());
        let in_time = answered.iter().filter(|(waited, _)| *waited <= slo).count();
        Self {
            schema_version: 2,
            scenario: "server",
            sent: driven.ends.len(),
            ok: answered.len(),
            failed,
            elapsed_s: driven.elapsed.as_secs_f64(),
            offered_per_s: driven.ends.len() as f64 / seconds,
            answered_per_s: answered.len() as f64 / driven.elapsed.as_secs_f64(),
            slo_ms: slo.as_secs_f64() * 1e3,
            goodput_per_s: in_time as f64 / driven.elapsed.as_secs_f64(),
            latency: percentiles(&latencies),
            queue_mean_ms: mean(&|at| f64::from(answered[at].1.queue_us) / 1e3),
            compute_mean_ms: mean(&|at| f64::from(answered[at].1.compute_us) / 1e3),
            send_lag_p99_ms: rank(&lags, 0.99 * lags.len() as f64),
            send_lag_max_ms: lags.last().copied().unwrap_or(0.0),
            exits,
            mean_depth: mean(&|at| f64::from(answered[at].1.depth)),
            pass_rows: BTreeMap::new(),
            accuracy: None,
            agreement: None,
            search: None,
        }
    }
}

/// Share of all requests answered within `slo`; none where they were sent too late to tell.
pub(crate) fn share_in_time(driven: &Driven, slo: Duration, lag_max: Duration) -> Option<f64> {
    let lags = sorted_ms(driven.lags.iter().copied());
    if rank(&lags, 0.99 * lags.len() as f64) > lag_max.as_secs_f64() * 1e3 {
        return None;
    }
    let answered = driven.ends.iter().filter_map(answered);
    let in_time = answered.filter(|(waited, _)| *waited <= slo).count();
    Some(in_time as f64 / driven.ends.len().max(1) as f64)
}

type Answered<'a> = (Duration, &'a offramp::serve::protocol::Verdict);

fn answered(end: &End) -> Option<Answered<'_>> {
    match end {
        End::Answered(waited, verdict) => Some((*waited, verdict)),
        _ => None,
    }
}

fn sorted_ms(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn rank(sorted: &[f64], rank: f64) -> f64 {
    let at = (rank.max(0.0) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0.0)
}

/// Intervals by ranks: how many of n fall below a quantile is binomial.
fn percentiles(sorted: &[f64]) -> BTreeMap<String, Percentile> {
    let n = sorted.len() as f64;
    let enough = PERCENTILES.iter().filter(|(_, _, least)| sorted.len() >= *least);
    let of = |&(name, share, _): &(&str, f64, usize)| {
        let spread = 1.96 * (n * share * (1.0 - share)).sqrt();
        let at = |by: f64| rank(sorted, n * share + by);
        (name.to_owned(), Percentile { ms: at(0.0), low_ms: at(-spread), high_ms: at(spread) })
    };
    enough.map(of).collect()
}
