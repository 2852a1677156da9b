//! Whether requests were sent when they were due, or what was measured is the sender: pure.
//!
//! Latency counts from when a request was due, so what a sender loses is part of every figure: it
//! makes a server look worse, never better. It is of no account while it is small beside the
//! objective, and where few requests met it: a single one of fifty sent late proves nothing.

use std::time::Duration;

use offramp_tune::clopper_pearson_upper;
use serde::Serialize;

use super::drive::{Driven, End};

/// Later than this is late, or than this share of the objective, whichever is more.
const LIMIT: Duration = Duration::from_millis(1);
const LIMIT_SHARE: f64 = 0.1;
/// This share of the requests may be late.
const SHARE_MAX: f64 = 0.01;
/// How sure it has to be that there were more.
const CONFIDENCE: f64 = 0.95;

/// How many were sent late.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Late {
    /// What counts as late.
    pub(crate) limit_ms: f64,
    pub(crate) requests: usize,
    pub(crate) of: usize,
    /// Whether more than 1 % of all would be, at 95 % confidence.
    pub(crate) is_too_many: bool,
}

/// What counts as late where answers within `objective` are asked for.
pub(crate) fn limit(objective: Duration) -> Duration {
    LIMIT.max(objective.mul_f64(LIMIT_SHARE))
}

impl Late {
    /// Of what was sent.
    pub(crate) fn of(driven: &Driven, limit: Duration) -> Self {
        let both = driven.ends.iter().zip(&driven.lags);
        let lags: Vec<Duration> =
            both.filter(|(end, _)| !matches!(end, End::Unsent)).map(|(_, &lag)| lag).collect();
        let late = lags.iter().filter(|&&lag| lag > limit).count();
        Self::counted(late, lags.len(), limit)
    }

    fn counted(requests: usize, of: usize, limit: Duration) -> Self {
        let in_time = of.saturating_sub(requests) as u64;
        // The share is at least what is left of the most that can have been in time.
        let at_least = 1.0 - clopper_pearson_upper(in_time, of as u64, CONFIDENCE);
        let is_too_many = of > 0 && at_least > SHARE_MAX;
        Self { limit_ms: limit.as_secs_f64() * 1e3, requests, of, is_too_many }
    }

    /// What is to be said, where there were too many.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self { limit_ms, requests, of, .. } = self;
        self.is_too_many.then(|| {
            format!(
                "{requests} of {of} requests were sent more than {limit_ms} ms late, and 1 % may \
                 be: the figures are partly the sender's. Send fewer, from another machine, or \
                 leave a core to the sender (offramp serve --threads)"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_is_what_matters_beside_the_objective() {
        let ms = Duration::from_millis;
        assert_eq!([ms(1), ms(5), ms(20), ms(50)].map(limit), [ms(1), ms(1), ms(2), ms(5)]);
    }

    #[test]
    fn more_than_one_in_a_hundred_has_to_be_proved() {
        let too_many = |late, of| Late::counted(late, of, LIMIT).is_too_many;
        // A single one proves something only of very few.
        assert!(too_many(1, 5) && !too_many(1, 6) && !too_many(1, 50));
        assert!(!too_many(2, 50) && too_many(3, 50));
        assert!(!too_many(50, 5000) && !too_many(61, 5000) && too_many(63, 5000));
        assert!(too_many(1000, 1000) && !too_many(0, 1000) && !too_many(0, 0));
    }

    #[test]
    fn the_problem_names_counts_and_the_limit() {
        let late = Late::counted(300, 5000, limit(Duration::from_millis(20)));
        let told = late.problem().unwrap();
        assert!(told.starts_with("300 of 5000 requests were sent more than 2 ms late"), "{told}");
        assert_eq!(Late::counted(3, 5000, LIMIT).problem(), None);
    }
}
