//! How many rows to audit: many where the promise is tight, few where there is room. An audited row
//! costs the rest of its forward; one that is not teaches nothing once it has left.

/// A share of rows, adapted within bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AuditRate {
    rate: f64,
    least: f64,
    most: f64,
}

impl Default for AuditRate {
    /// Measured on rehearsals of drifting streams: see `offramp tune --audit-rate`.
    fn default() -> Self {
        Self { rate: 0.2, least: 0.05, most: 0.8 }
    }
}

impl AuditRate {
    /// Always the same share.
    pub fn fixed(rate: f64) -> Self {
        Self { rate, least: rate, most: rate }
    }

    /// The share now.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Doubles where the bound takes more than three quarters of the promise, or nobody can leave
    /// for want of proof; halves where it takes less than half. Powers of two keep the number of
    /// different weights in a window small.
    pub(super) fn adapt(&mut self, upper_bound: f64, limit: f64, is_off: bool) {
        let rate = match upper_bound / limit {
            _ if is_off => 2.0 * self.rate,
            share if share > 0.75 => 2.0 * self.rate,
            share if share < 0.5 => 0.5 * self.rate,
            _ => self.rate,
        };
        self.rate = rate.clamp(self.least, self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_how_tight_the_promise_is_within_bounds() {
        let mut audit = AuditRate::default();
        let mut after = |bound, is_off| {
            audit.adapt(bound, 0.01, is_off);
            audit.rate()
        };
        assert_eq!([after(0.009, false), after(0.006, false)], [0.4, 0.4]);
        assert_eq!([after(0.0, true), after(0.009, false)], [0.8, 0.8]);
        assert_eq!([0.4, 0.2, 0.1, 0.05, 0.05].map(|_| after(0.001, false))[4], 0.05);
        let mut fixed = AuditRate::fixed(0.3);
        fixed.adapt(1.0, 0.01, true);
        assert_eq!(fixed.rate(), 0.3);
    }
}
