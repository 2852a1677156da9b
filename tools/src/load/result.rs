//! What a load has shown.

use std::collections::BTreeMap;
use std::time::Duration;

use offramp_protocol::Verdict;
use serde::Serialize;

use super::drive::{Driven, End};
use super::late::Late;
use super::search::{Search, Tried};
use crate::agreement::Agreement;
use crate::quality::Quality;

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
    /// By status; `lost` are those without a reply, `unsent` those there was no connection for.
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
    pub(crate) sent_late: Late,
    /// When nothing more was sent, for want of a server.
    pub(crate) stopped_s: Option<f64>,
    /// Whether the figures say what they seem to say of the server; `problems` say why not.
    pub(crate) is_valid: bool,
    pub(crate) problems: Vec<String>,
    /// Answers by exit: a site, or `final`.
    pub(crate) exits: BTreeMap<String, usize>,
    pub(crate) mean_depth: f64,
    /// Passes of the server meanwhile by their rows: at most 1, 2, 4 and so on.
    pub(crate) pass_rows: BTreeMap<u64, u64>,
    #[serde(flatten)]
    pub(crate) quality: Quality,
    pub(crate) agreement: Option<Agreement>,
    pub(crate) search: Option<Search>,
}

impl LoadResult {
    /// Of what became of all requests, those sent later than `lag_max` being late.
    pub(crate) fn of(driven: &Driven, slo: Duration, seconds: f64, lag_max: Duration) -> Self {
        let answered: Vec<_> = driven.ends.iter().filter_map(answered).collect();
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
        // What was stopped, or a closed loop that overran, took as long as it took.
        let seconds = driven.stopped_s.unwrap_or(seconds).max(1e-3);
        Self {
            schema_version: 3,
            scenario: "server",
            sent: driven.ends.len(),
            ok: answered.len(),
            failed: failed(driven),
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
            sent_late: Late::of(driven, lag_max),
            stopped_s: driven.stopped_s,
            is_valid: true,
            problems: Vec::new(),
            exits,
            mean_depth: mean(&|at| f64::from(answered[at].1.depth)),
            pass_rows: BTreeMap::new(),
            quality: Quality::default(),
            agreement: None,
            search: None,
        }
    }
}

impl LoadResult {
    /// Says what keeps the figures from saying what they seem to say.
    pub(crate) fn judge(&mut self) {
        let count = |end| self.failed.get(end).copied().unwrap_or(0);
        let (lost, unsent) = (count("lost"), count("unsent"));
        if lost + unsent > 0 {
            let stopped = self.stopped_s.map_or(String::new(), |at_s| {
                format!("; it did not come back, and the load was stopped after {at_s:.1} s")
            });
            let gone = "the server ended connections or could not be reached";
            self.problems.push(format!("{gone}: {lost} lost, {unsent} unsent{stopped}"));
        } else if self.ok == 0 && self.sent > 0 {
            self.problems.push("not one request was answered".to_owned());
        }
        let search = self.search.as_ref();
        match search.filter(|search| search.highest_rate_per_s <= 0.0) {
            Some(search) => self.problems.push(format!("no rate found: {}", search.failure())),
            // A rate that is held although requests were sent late is held all the more.
            None if search.is_some_and(|search| !search.confirmations.is_empty()) => {}
            None => self.problems.extend(self.sent_late.problem()),
        }
        self.is_valid = self.problems.is_empty();
    }
}

/// By status, how many were not answered.
fn failed(driven: &Driven) -> BTreeMap<String, usize> {
    let mut failed = BTreeMap::new();
    for end in &driven.ends {
        let name = match end {
            End::Answered(..) => continue,
            End::Failed(status) => status.name(),
            End::Lost => "lost",
            End::Unsent => "unsent",
        };
        *failed.entry(name.to_owned()).or_default() += 1;
    }
    failed
}

/// How a rate went, as a search wants to know it.
pub(crate) fn tried(driven: &Driven, slo: Duration, lag_max: Duration) -> Tried {
    let of = driven.ends.len().max(1) as f64;
    let answered: Vec<_> = driven.ends.iter().filter_map(answered).collect();
    let in_time = answered.iter().filter(|(waited, _)| *waited <= slo).count();
    let took_us = |verdict: &Verdict| u64::from(verdict.queue_us) + u64::from(verdict.compute_us);
    let is_quick = |verdict: &Verdict| Duration::from_micros(took_us(verdict)) <= slo;
    let at_server = answered.iter().filter(|(_, verdict)| is_quick(verdict)).count();
    Tried {
        in_time: in_time as f64 / of,
        in_time_at_server: at_server as f64 / of,
        is_late: Late::of(driven, lag_max).is_too_many,
        is_gone: is_lost(driven),
    }
}

/// Whether the server was lost, for a while or for good.
fn is_lost(driven: &Driven) -> bool {
    driven.ends.iter().any(|end| matches!(end, End::Lost | End::Unsent))
}

type Answered<'a> = (Duration, &'a Verdict);

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

#[cfg(test)]
mod tests {
    use offramp_protocol::Exit;
    use offramp_protocol::{Phase, Status};

    use super::*;

    fn answered_after(ms: u64) -> End {
        let verdict = Verdict {
            phase: Phase::Final,
            is_cut: false,
            label: 1,
            score: 0.5,
            exit: Exit::Final,
            depth: 1.0,
            queue_us: 0,
            compute_us: 0,
            threshold_version: 0,
            top: Vec::new(),
        };
        End::Answered(Duration::from_millis(ms), verdict)
    }

    /// One request a millisecond, sent so late.
    fn driven(ends: Vec<End>, lag_ms: u64) -> Driven {
        let due_s = (0..ends.len()).map(|nth| nth as f64 / 1e3).collect();
        let lags = vec![Duration::from_millis(lag_ms); ends.len()];
        let turns = (0..ends.len()).collect();
        Driven { turns, due_s, lags, ends, elapsed: Duration::from_secs(1), stopped_s: None }
    }

    fn judged(driven: &Driven) -> LoadResult {
        let ms = Duration::from_millis;
        let mut result = LoadResult::of(driven, ms(20), 1.0, ms(2));
        result.judge();
        result
    }

    #[test]
    fn what_is_wrong_is_said_and_the_rest_is_counted() {
        let fine = judged(&driven(vec![answered_after(3); 50], 1));
        assert!(fine.is_valid && fine.problems.is_empty() && fine.goodput_per_s == 50.0);
        let late = judged(&driven(vec![answered_after(3); 50], 3));
        assert!(!late.is_valid && late.problems[0].contains("more than 2 ms late"), "{late:?}");
        let refused = vec![End::Failed(Status::Overloaded); 9];
        let none = judged(&driven(refused.clone(), 0));
        assert_eq!(none.problems, ["not one request was answered"]);
        let some = judged(&driven([refused, vec![answered_after(30)]].concat(), 0));
        assert!(some.is_valid && some.failed["overloaded"] == 9 && some.goodput_per_s == 0.0);
    }

    #[test]
    fn a_server_that_is_lost_leaves_what_was_seen() {
        let ends = [vec![answered_after(3); 30], vec![End::Lost; 2], vec![End::Unsent; 5]];
        let mut lost = driven(ends.concat(), 0);
        assert!(tried(&lost, Duration::from_millis(20), Duration::from_millis(2)).is_gone);
        lost.stopped_s = Some(0.5);
        let result = judged(&lost);
        assert_eq!((result.ok, result.sent, result.offered_per_s), (30, 37, 74.0));
        assert_eq!((result.failed["lost"], result.failed["unsent"]), (2, 5));
        let told = &result.problems[0];
        assert!(told.contains("2 lost, 5 unsent") && told.contains("after 0.5 s"), "{told}");
        // What was never sent was not sent late.
        assert_eq!(result.sent_late.of, 32);
    }

    #[test]
    fn late_sending_is_told_from_a_slow_server() {
        let ms = Duration::from_millis;
        let tried = |waited, server_ms: u32| {
            let mut end = answered_after(waited);
            if let End::Answered(_, verdict) = &mut end {
                (verdict.queue_us, verdict.compute_us) = (900 * server_ms, 100 * server_ms);
            }
            tried(&driven(vec![end; 99], 10), ms(20), ms(2))
        };
        let (late, slow) = (tried(25, 1), tried(40, 21));
        assert_eq!((late.in_time, late.in_time_at_server, late.is_late), (0.0, 1.0, true));
        assert_eq!((slow.in_time, slow.in_time_at_server, slow.is_late), (0.0, 0.0, true));
        assert_eq!(tried(15, 1).in_time, 1.0);
    }

    #[test]
    fn a_search_that_confirmed_nothing_is_no_result() {
        let mut result = judged(&driven(vec![answered_after(3); 50], 0));
        result.search = Some(Search::default());
        result.judge();
        assert!(!result.is_valid && result.problems[0].starts_with("no rate found"), "{result:?}");
    }
}
