//! The highest rate that is held: pure, over whatever tries a rate.

use serde::Serialize;

use crate::failure::Result;

/// A rate is held where at least this share of all requests is answered in time.
const HELD: f64 = 0.99;
/// Rates are told apart down to this ratio.
const FINE: f64 = 1.05;
/// Where fewer than this share are answered in time by what the server itself tells, it is not for
/// the sender that a rate is not held.
const PLAINLY_NOT_HELD: f64 = 0.9;
/// What is run to confirm a rate, by that rate: each step where the one before was not held.
const STEPS: [f64; 5] = [1.0, 0.95, 0.85, 0.7, 0.5];

/// How a rate went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tried {
    /// Share of all requests answered within the objective, from when they were due.
    pub(crate) in_time: f64,
    /// The same by the times that the server tells: from its reading of a request to the answer.
    pub(crate) in_time_at_server: f64,
    /// Whether too many were sent late.
    pub(crate) is_late: bool,
    /// Whether the server was lost meanwhile.
    pub(crate) is_gone: bool,
}

/// One rate that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Probe {
    pub(crate) rate_per_s: f64,
    /// From when requests were due.
    pub(crate) share_in_time: f64,
    pub(crate) is_held: bool,
    /// It was not held, and may have been with a sender that keeps time.
    pub(crate) is_sent_late: bool,
}

/// What keeps the rate from being higher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    /// The server: above, too few were answered in time.
    Server,
    /// The sender could not send faster: the server may hold more.
    Sender,
    /// The number of rates that are tried: all were held.
    #[default]
    Probes,
    /// The server was lost.
    ServerLost,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Search {
    /// None was held, or none when run once more, where it is 0.
    pub(crate) highest_rate_per_s: f64,
    pub(crate) limited_by: Limit,
    pub(crate) probes: Vec<Probe>,
    /// Runs at the highest rate, and below where that was not held again. The last is the one
    /// that is reported.
    pub(crate) confirmations: Vec<Probe>,
}

impl Probe {
    fn of(rate_per_s: f64, tried: Tried) -> Self {
        let is_held = tried.in_time >= HELD;
        let is_plain = tried.in_time_at_server < PLAINLY_NOT_HELD;
        let is_sent_late = !is_held && tried.is_late && !is_plain;
        Self { rate_per_s, share_in_time: tried.in_time, is_held, is_sent_late }
    }

    fn limit(&self) -> Limit {
        if self.is_sent_late { Limit::Sender } else { Limit::Server }
    }
}

/// Doubles or halves from `first` until one rate is held and another is not, then goes between. A
/// rate that was not held is tried once more: machines stall. `share_in_time` tries a rate.
pub(crate) fn highest(
    first: f64,
    probes_max: usize,
    mut try_rate: impl FnMut(f64) -> Result<Tried>,
) -> Result<Search> {
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut rate_per_s = first;
    let mut search = Search::default();
    while search.probes.len() < probes_max && high / low > FINE {
        let tried = try_rate(rate_per_s)?;
        let probe = Probe::of(rate_per_s, tried);
        let is_second = search.probes.iter().any(|before| before.rate_per_s == rate_per_s);
        search.probes.push(probe);
        if tried.is_gone {
            search.limited_by = Limit::ServerLost;
            break;
        }
        match (probe.is_held, is_second) {
            (true, _) => low = rate_per_s,
            (false, true) => (high, search.limited_by) = (rate_per_s, probe.limit()),
            (false, false) => continue,
        }
        rate_per_s = match (low > 0.0, high.is_finite()) {
            (_, false) => 2.0 * low,
            (false, true) => high / 2.0,
            (true, true) => (low * high).sqrt(),
        };
    }
    search.highest_rate_per_s = low;
    Ok(search)
}

impl Search {
    /// Runs the highest rate again, and lower ones until one is held: only that is the highest.
    pub(crate) fn confirm(&mut self, mut try_rate: impl FnMut(f64) -> Result<Tried>) -> Result<()> {
        let highest = std::mem::take(&mut self.highest_rate_per_s);
        if highest <= 0.0 || self.limited_by == Limit::ServerLost {
            return Ok(());
        }
        for step in STEPS {
            let rate_per_s = highest * step;
            let tried = try_rate(rate_per_s)?;
            let probe = Probe::of(rate_per_s, tried);
            self.confirmations.push(probe);
            if tried.is_gone {
                self.limited_by = Limit::ServerLost;
                return Ok(());
            }
            if probe.is_held {
                self.highest_rate_per_s = rate_per_s;
                return Ok(());
            }
            self.limited_by = probe.limit();
        }
        Ok(())
    }

    /// A sentence about the highest rate at which 99 % are answered within so many milliseconds.
    pub(crate) fn headline(&self, slo_ms: f64) -> String {
        let (rate, tried) = (self.highest_rate_per_s, self.probes.len());
        let of = format!("of which 99 % are answered within {slo_ms} ms");
        match self.limited_by {
            _ if rate <= 0.0 => format!("no rate found {of}: {}", self.failure()),
            Limit::Sender => format!(
                "limited by the sender: at least {rate:.0} a second {of} ({tried} rates tried); \
                 the server may hold more than could be sent from here"
            ),
            Limit::Probes => format!("at least {rate:.0} a second {of}: all {tried} rates held"),
            Limit::Server | Limit::ServerLost => {
                format!("highest rate {of}: {rate:.0} a second ({tried} rates tried)")
            }
        }
    }

    /// Why there is no highest rate.
    pub(crate) fn failure(&self) -> String {
        let runs = self.confirmations.len();
        let last = self.confirmations.last().or(self.probes.last());
        let (rate, share) = last.map_or((0.0, 0.0), |it| (it.rate_per_s, 100.0 * it.share_in_time));
        let late = if last.is_some_and(|it| it.is_sent_late) {
            ", and requests were sent late: the sender may be what limits"
        } else {
            ""
        };
        match self.limited_by {
            Limit::ServerLost => format!("the server was lost at {rate:.1} a second"),
            _ if runs > 0 => format!(
                "what was held once was not held again in {runs} runs, the last at {rate:.1} a \
                 second with {share:.2} % in time{late}"
            ),
            _ => format!("the last tried, {rate:.1} a second, had {share:.2} % in time{late}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In time by a share, with a sender that keeps time.
    fn on_time(in_time: f64) -> Result<Tried> {
        Ok(Tried { in_time, in_time_at_server: in_time, is_late: false, is_gone: false })
    }

    fn holds(capacity: f64) -> impl FnMut(f64) -> Result<Tried> {
        move |rate| on_time(if rate <= capacity { 1.0 } else { capacity / rate })
    }

    /// Sends no faster than `most`.
    fn sends(most: f64) -> impl FnMut(f64) -> Result<Tried> {
        move |rate| {
            let is_late = rate > most;
            let in_time = if is_late { 0.2 } else { 1.0 };
            Ok(Tried { in_time, in_time_at_server: 1.0, is_late, is_gone: false })
        }
    }

    #[test]
    fn the_highest_rate_is_found_from_either_side() {
        for first in [1.0, 700.0, 40_000.0] {
            let found = highest(first, 40, holds(700.0)).unwrap();
            let ratio = 700.0 / found.highest_rate_per_s;
            assert!((1.0..=FINE).contains(&ratio), "from {first}: {found:?}");
            assert_eq!(found.limited_by, Limit::Server);
        }
    }

    #[test]
    fn a_rate_that_cannot_be_sent_ends_it_and_says_so() {
        let mut found = highest(100.0, 40, sends(900.0)).unwrap();
        assert!(found.highest_rate_per_s < 900.0 && found.highest_rate_per_s > 850.0);
        found.confirm(sends(900.0)).unwrap();
        assert!(found.probes.iter().any(|probe| probe.is_sent_late));
        let told = found.headline(20.0);
        assert!(told.starts_with("limited by the sender: at least 8"), "{told}");
        // Late, but held all the same: what is late only makes it worse.
        let late = Tried { in_time: 1.0, in_time_at_server: 1.0, is_late: true, is_gone: false };
        assert!(highest(8.0, 1, |_| Ok(late)).unwrap().probes[0].is_held);
        // Late, and slow by what the server tells: that is the server's.
        let slow = Tried { in_time: 0.1, in_time_at_server: 0.2, is_late: true, is_gone: false };
        assert_eq!(highest(8.0, 4, |_| Ok(slow)).unwrap().limited_by, Limit::Server);
    }

    #[test]
    fn probes_are_bounded_and_a_stall_is_forgiven() {
        let none = highest(100.0, 3, |_| on_time(0.0)).unwrap();
        assert_eq!((none.highest_rate_per_s, none.probes.len()), (0.0, 3));
        let told = none.headline(5.0);
        assert!(told.contains("the last tried, 50.0 a second, had 0.00 % in time"), "{told}");
        let mut stalls = [0.5, 1.0, 0.0, 0.0].into_iter();
        let stalled = highest(100.0, 4, |_| on_time(stalls.next().unwrap())).unwrap();
        assert_eq!(stalled.highest_rate_per_s, 100.0);
        let endless = highest(1.0, 6, |_| on_time(1.0)).unwrap();
        assert_eq!((endless.highest_rate_per_s, endless.limited_by), (32.0, Limit::Probes));
        assert!(endless.headline(5.0).starts_with("at least 32 a second"));
    }

    #[test]
    fn only_a_rate_that_is_held_again_is_the_highest() {
        let found = highest(100.0, 40, holds(700.0)).unwrap();
        let cases = [(1e9, 1.0, 1), (0.96, 0.95, 2), (0.86, 0.85, 3), (0.5, 0.5, 5)];
        for (holds_share, expected_share, runs) in cases {
            let mut again = found.clone();
            again.confirm(holds(holds_share * found.highest_rate_per_s)).unwrap();
            let share = again.highest_rate_per_s / found.highest_rate_per_s;
            assert!((share - expected_share).abs() < 1e-9, "{holds_share}: {share}");
            assert_eq!(again.confirmations.len(), runs);
            assert!(again.confirmations.last().unwrap().is_held);
        }
        let mut never = found.clone();
        never.confirm(|_| on_time(0.983)).unwrap();
        assert_eq!((never.highest_rate_per_s, never.confirmations.len()), (0.0, STEPS.len()));
        let told = never.headline(20.0);
        assert!(told.contains("was not held again in 5 runs") && told.contains("98.30"), "{told}");
    }

    #[test]
    fn a_server_that_is_lost_ends_it() {
        let lost = Tried { in_time: 0.4, in_time_at_server: 0.4, is_late: false, is_gone: true };
        let mut tries = 0;
        let goes = |_| {
            tries += 1;
            if tries > 2 { Ok(lost) } else { on_time(1.0) }
        };
        let mut found = highest(10.0, 40, goes).unwrap();
        assert_eq!((found.probes.len(), found.limited_by), (3, Limit::ServerLost));
        found.confirm(|_| panic!("there is no server")).unwrap();
        assert_eq!(found.highest_rate_per_s, 0.0);
        assert!(found.headline(5.0).contains("the server was lost at 40.0"), "{found:?}");
        let mut found = highest(100.0, 40, holds(700.0)).unwrap();
        found.confirm(|_| Ok(lost)).unwrap();
        assert_eq!((found.highest_rate_per_s, found.confirmations.len()), (0.0, 1));
        assert!(found.failure().starts_with("the server was lost at 7"), "{found:?}");
    }
}
