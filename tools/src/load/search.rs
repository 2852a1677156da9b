//! The highest rate that is held: pure, over whatever tries a rate.

use serde::Serialize;

use crate::failure::Result;

/// A rate is held where at least this share of all requests is answered in time.
const HELD: f64 = 0.99;
/// Rates are told apart down to this ratio.
const FINE: f64 = 1.05;

/// One rate that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Probe {
    pub(crate) rate_per_s: f64,
    /// None where requests could not be sent that fast.
    pub(crate) share_in_time: Option<f64>,
    pub(crate) is_held: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Search {
    /// None was held where it is 0.
    pub(crate) highest_rate_per_s: f64,
    pub(crate) probes: Vec<Probe>,
}

/// Doubles or halves from `first` until one rate is held and another is not, then goes between. A
/// rate that was not held is tried once more: machines stall. `share_in_time` tries a rate; none
/// where it cannot be tried.
pub(crate) fn highest(
    first: f64,
    probes_max: usize,
    mut share_in_time: impl FnMut(f64) -> Result<Option<f64>>,
) -> Result<Search> {
    let (mut low, mut high) = (0.0, f64::INFINITY);
    let mut rate_per_s = first;
    let mut probes = Vec::new();
    while probes.len() < probes_max && high / low > FINE {
        let share_in_time = share_in_time(rate_per_s)?;
        let is_held = share_in_time.is_some_and(|share| share >= HELD);
        probes.push(Probe { rate_per_s, share_in_time, is_held });
        let is_second =
            probes.iter().filter(|probe: &&Probe| probe.rate_per_s == rate_per_s).count() > 1;
        match (is_held, is_second) {
            (true, _) => low = rate_per_s,
            (false, true) => high = rate_per_s,
            (false, false) => continue,
        }
        rate_per_s = match (low > 0.0, high.is_finite()) {
            (_, false) => 2.0 * low,
            (false, true) => high / 2.0,
            (true, true) => (low * high).sqrt(),
        };
    }
    Ok(Search { highest_rate_per_s: low, probes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_is_found_from_either_side() {
        for first in [1.0, 700.0, 40_000.0] {
            let mut server = |rate: f64| Ok(Some(if rate <= 700.0 { 1.0 } else { 700.0 / rate }));
            let found = highest(first, 40, &mut server).unwrap();
            let ratio = 700.0 / found.highest_rate_per_s;
            assert!((1.0..=FINE).contains(&ratio), "from {first}: {found:?}");
        }
    }

    #[test]
    fn a_rate_that_cannot_be_sent_ends_it_and_probes_are_bounded() {
        let found = highest(100.0, 40, |rate| Ok((rate < 900.0).then_some(1.0))).unwrap();
        assert!(found.highest_rate_per_s < 900.0 && found.highest_rate_per_s > 850.0);
        assert!(found.probes.iter().any(|probe| probe.share_in_time.is_none()));
        let none = highest(100.0, 3, |_| Ok(Some(0.0))).unwrap();
        assert_eq!((none.highest_rate_per_s, none.probes.len()), (0.0, 3));
        let mut stalls = [0.5, 1.0, 0.0, 0.0].into_iter();
        let stalled = highest(100.0, 4, |_| Ok(stalls.next())).unwrap();
        assert_eq!(stalled.highest_rate_per_s, 100.0);
    }
}
