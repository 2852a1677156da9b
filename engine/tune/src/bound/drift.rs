//! Has a rate risen above its limit? Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric
//! framework for sequential change detection", New England Journal of Statistics in Data Science
//! 2, 2024.
//!
//! For every row a new gambler bets that from here on the mean is above the limit; what all of
//! them have together (Shiryaev and Roberts' sum) grows by no more than 1 a row in expectation
//! while it is not. So an alarm at `n` comes on average no sooner than after `n` rows. Several
//! stakes run side by side, as it is not known by how much a rate will rise.

/// Stakes, as multiples of what the limit itself would be worth.
const STAKES: [f64; 5] = [0.5, 1.0, 2.0, 5.0, 15.0];

/// Watches a rate that must not exceed a limit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drift {
    limit: f64,
    alarm: f64,
    sums: [f64; STAKES.len()],
}

impl Drift {
    /// Watches for a rate above `limit` (in (0, 1)). While it is not, alarms come on average no
    /// more often than every `false_alarm_rows`.
    pub(crate) fn new(limit: f64, false_alarm_rows: f64) -> Self {
        Self { limit, alarm: false_alarm_rows, sums: [0.0; STAKES.len()] }
    }

    /// Takes in a row; true for an alarm.
    pub(crate) fn add(&mut self, is_wrong: bool) -> bool {
        let (limit, value) = (self.limit, f64::from(u8::from(is_wrong)));
        for (sum, stake) in self.sums.iter_mut().zip(STAKES) {
            // Never all of it: 1 - bet * limit stays above 0.
            let bet = (stake / (1.0 + stake * limit)).min(0.5 / limit);
            *sum = (*sum + 1.0) * (1.0 + bet * (value - limit));
        }
        self.sums.iter().sum::<f64>() / STAKES.len() as f64 >= self.alarm
    }

    /// Forgets what it saw.
    pub(crate) fn reset(&mut self) {
        self.sums = [0.0; STAKES.len()];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows until the alarm, where each row is wrong with this chance.
    fn rows_to_alarm(drift: &mut Drift, chance: f64, rng: &mut fastrand::Rng) -> u32 {
        (1..200_000).find(|_| drift.add(rng.f64() < chance)).unwrap_or(200_000)
    }

    fn mean_rows(limit: f64, alarm: f64, chance: f64) -> f64 {
        let mut rng = fastrand::Rng::with_seed(8);
        let run = |_| rows_to_alarm(&mut Drift::new(limit, alarm), chance, &mut rng);
        (0..200).map(run).map(f64::from).sum::<f64>() / 200.0
    }

    #[test]
    fn false_alarms_are_as_rare_as_promised() {
        let rows = mean_rows(0.01, 2000.0, 0.01);
        // Less two standard errors of 200 runs.
        assert!(rows >= 0.86 * 2000.0, "{rows} rows between alarms");
    }

    #[test]
    fn the_larger_the_rise_the_sooner_the_alarm() {
        let rows = [0.02, 0.04, 0.1].map(|chance| mean_rows(0.01, 10_000.0, chance));
        assert!(rows[0] < 4000.0 && rows[1] < 500.0 && rows[2] < 120.0, "{rows:?}");
        let mut drift = Drift::new(0.01, 100.0);
        let mut again = drift.clone();
        assert!((0..500).any(|_| drift.add(true)));
        drift.reset();
        again.reset();
        assert_eq!(drift, again);
    }
}
