//! An upper bound of a mean that holds at every moment, however often it is looked at, for values
//! that may stand for many rows. Waudby-Smith and Ramdas, "Estimating means of bounded random
//! variables by betting", Journal of the Royal Statistical Society B 86, 2024.
//!
//! Someone bets at even odds that the mean is below `m`: a value x turns a stake of share `b` of
//! the largest admissible one into `1 + b (m - x) / (worst - m)` times it. If the mean is `m` or
//! more, nobody gets rich: the chance that a fortune ever reaches `1 / (1 - confidence)` is at
//! most `1 - confidence` (Ville, 1939). Several gamblers share the first stake, each with a fixed
//! `b`, so fortunes depend on how often each value came, not on the order.

/// Stakes of the gamblers, as shares of the largest that cannot ruin them.
const STAKES: [f64; 16] =
    [0.98, 0.9, 0.75, 0.6, 0.48, 0.38, 0.3, 0.24, 0.19, 0.15, 0.12, 0.08, 0.05, 0.03, 0.01, 0.003];

/// What was seen of values between 0 and `worst`, most of them 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Betting {
    worst: f64,
    rows: u64,
    /// Values other than 0 and how often they came.
    seen: Vec<(f64, u64)>,
}

impl Betting {
    /// Nothing seen yet of values of which none exceeds `worst`.
    pub fn new(worst: f64) -> Self {
        Self { worst, rows: 0, seen: Vec::new() }
    }

    /// Takes in `count` times a value. One that is not between 0 and `worst` counts as `worst`.
    pub fn add(&mut self, value: f64, count: u64) {
        self.rows += count;
        let fits = (0.0..=self.worst).contains(&value);
        let value = if fits { value } else { self.worst };
        if value == 0.0 || count == 0 {
            return;
        }
        match self.seen.iter_mut().find(|(seen, _)| *seen == value) {
            Some((_, times)) => *times += count,
            None => self.seen.push((value, count)),
        }
    }

    /// Values seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.seen.iter().map(|(value, times)| value * *times as f64).sum();
        sum / self.rows.max(1) as f64
    }

    /// Whether the mean is below `limit`, at this confidence.
    pub fn is_below(&self, limit: f64, confidence: f64) -> bool {
        limit > self.worst || (limit > 0.0 && self.ln_fortune(limit) >= -(1.0 - confidence).ln())
    }

    /// The least limit that the mean is below at this confidence; `worst` where nothing is known.
    pub fn upper(&self, confidence: f64) -> f64 {
        let (mut low, mut high) = (self.mean().min(self.worst), self.worst);
        while high - low > 1e-9 * self.worst {
            let middle = 0.5 * (low + high);
            if self.is_below(middle, confidence) { high = middle } else { low = middle }
        }
        high
    }

    /// Logarithm of what the gamblers have together, having started with 1. Rises with `limit`.
    fn ln_fortune(&self, limit: f64) -> f64 {
        let largest = 1.0 / (self.worst - limit).max(f64::MIN_POSITIVE);
        let zeros = self.rows - self.seen.iter().map(|(_, times)| times).sum::<u64>();
        let fortune = |stake: &f64| {
            let bet = stake * largest;
            let grown =
                |(value, times): &(f64, u64)| *times as f64 * (bet * (limit - value)).ln_1p();
            zeros as f64 * (bet * limit).ln_1p() + self.seen.iter().map(grown).sum::<f64>()
        };
        let fortunes = STAKES.map(|stake| fortune(&stake));
        let most = fortunes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = fortunes.iter().map(|fortune| (fortune - most).exp()).sum();
        most + (sum / STAKES.len() as f64).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::super::binomial::clopper_pearson_upper;
    use super::*;

    fn after(rows: u64, errors: u64) -> Betting {
        let mut betting = Betting::new(1.0);
        betting.add(0.0, rows - errors);
        betting.add(1.0, errors);
        betting
    }

    #[test]
    fn costs_little_over_the_bound_that_may_be_looked_at_once() {
        for (rows, errors) in [(500, 0), (1000, 2), (2000, 8), (4000, 20)] {
            let once = clopper_pearson_upper(errors, rows, 0.95);
            let always = after(rows, errors).upper(0.95);
            assert!(always >= once && always < 2.0 * once, "{rows}, {errors}: {once} {always}");
        }
        // Clopper and Pearson's certifies 1 % after 299 rows without an error.
        let rows = (1..).find(|&rows| after(rows, 0).is_below(0.01, 0.95)).unwrap();
        assert!((299..600).contains(&rows), "{rows}");
    }

    #[test]
    fn rises_with_errors_and_falls_with_rows() {
        for errors in 0..6 {
            let bound = after(800, errors).upper(0.9);
            assert!(bound > after(800, errors).mean());
            assert!(after(800, errors + 1).upper(0.9) > bound);
            assert!(after(900, errors).upper(0.9) < bound);
            assert!(after(800, errors).upper(0.95) > bound);
        }
        assert_eq!(Betting::new(20.0).upper(0.9), 20.0);
        let mut odd = Betting::new(1.0);
        [f64::NAN, -1.0, 9.0].iter().for_each(|&value| odd.add(value, 1));
        assert_eq!((odd.mean(), odd.upper(0.9)), (1.0, 1.0));
    }

    /// Share of runs in which the bound was ever below the true mean, when asked every ten rows.
    fn broken(chance: f64, value: f64, is_below: impl Fn(&Betting, f64) -> bool) -> f64 {
        let mut rng = fastrand::Rng::with_seed(5);
        let runs = 400;
        let broken = (0..runs).filter(|_| {
            let mut betting = Betting::new(value);
            (0..1500).any(|row| {
                betting.add(if rng.f64() < chance { value } else { 0.0 }, 1);
                row % 10 == 9 && is_below(&betting, chance * value)
            })
        });
        broken.count() as f64 / f64::from(runs)
    }

    #[test]
    fn holds_at_every_moment_where_the_other_bound_does_not() {
        let betting = |seen: &Betting, mean: f64| seen.is_below(mean, 0.9);
        let once = |seen: &Betting, mean: f64| {
            let errors = (seen.mean() * seen.rows() as f64).round() as u64;
            clopper_pearson_upper(errors, seen.rows(), 0.9) < mean
        };
        assert!(broken(0.02, 1.0, betting) <= 0.1);
        assert!(broken(0.0025, 20.0, betting) <= 0.1, "audited rows stand for 20");
        assert!(broken(0.02, 1.0, once) > 0.15, "this test would not notice");
    }
}
