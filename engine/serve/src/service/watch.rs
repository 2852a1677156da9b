//! What a service does when a part of it panics, which is a defect of offramp: it says so, and
//! where it is of no use without that part, it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::state::{Life, State};

/// Between two warnings of one kind.
const PERIOD: Duration = Duration::from_secs(5);

/// Held by a part of the service for as long as that runs.
pub(crate) struct Part {
    state: Arc<State>,
    name: &'static str,
    is_vital: bool,
}

impl Part {
    /// Without it the service is of no use: its panic fails it.
    pub(crate) fn vital(state: &Arc<State>, name: &'static str) -> Self {
        Self { state: state.clone(), name, is_vital: true }
    }

    /// One of many: its panic is counted.
    pub(crate) fn of_many(state: &Arc<State>, name: &'static str) -> Self {
        Self { state: state.clone(), name, is_vital: false }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        self.state.metrics.losses.panicked(self.name);
        tracing::error!(part = self.name, "a part of the service has panicked");
        if self.is_vital {
            self.state.lose(self.name);
        }
    }
}

impl State {
    /// Fails for want of a part: nobody is let in any more, those inside are answered where that is
    /// possible still.
    pub(crate) fn lose(&self, part: &'static str) {
        let _ = self.lost.set(part);
        self.advance(Life::Failed);
        self.inbox.close();
    }

    /// Which part has failed the service by its panic, if one has.
    pub(crate) fn told_lost(&self) -> Option<String> {
        self.lost.get().map(|part| format!("the {part} has panicked"))
    }
}

/// Lets one of many like warnings through at a time.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Option<Instant>,
    kept_back: u64,
}

impl Seldom {
    /// Where it is time for another one: how many were kept back since the one before.
    pub(crate) fn is_due(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.duration_since(last) < PERIOD) {
            self.kept_back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp::clock;

    #[test]
    fn the_first_warning_is_told_and_then_one_a_while_with_a_count() {
        let (mut seldom, start) = (Seldom::default(), clock::now());
        let told: Vec<Option<u64>> =
            (0..220).map(|step| seldom.is_due(start + step * Duration::from_millis(50))).collect();
        let due: Vec<(usize, u64)> =
            told.iter().enumerate().filter_map(|(at, told)| told.map(|kept| (at, kept))).collect();
        assert_eq!(due, [(0, 0), (100, 99), (200, 99)]);
        assert_eq!(seldom.is_due(start + Duration::from_secs(60)), Some(19));
    }
}
