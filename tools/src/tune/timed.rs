//! A search with a stopwatch.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use offramp::tune::Window;
use offramp::tune::search::{Budget, Search};

use crate::race::median;

/// Passes everything on, and notes how long it took.
pub(super) struct Timed {
    search: Box<dyn Search>,
    times: Times,
}

/// Times of all searches, in microseconds.
#[derive(Clone, Default)]
pub(super) struct Times(Arc<Mutex<Vec<f64>>>);

impl Timed {
    pub(super) fn new(search: Box<dyn Search>) -> (Self, Times) {
        let times = Times::default();
        (Self { search, times: times.clone() }, times)
    }
}

impl Times {
    pub(super) fn median_us(&self) -> f64 {
        median(self.0.lock().map(|times| times.clone()).unwrap_or_default())
    }
}

impl Search for Timed {
    fn name(&self) -> &'static str {
        self.search.name()
    }

    fn search(&self, window: &Window, budget: &Budget) -> Vec<f32> {
        let started = Instant::now();
        let found = self.search.search(window, budget);
        if let Ok(mut times) = self.times.0.lock() {
            times.push(started.elapsed().as_secs_f64() * 1e6);
        }
        found
    }
}
