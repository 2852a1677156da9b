//! A search with a stopwatch.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use offramp_tune::Window;
use offramp_tune::search::{Prepared, Search};
use parking_lot::Mutex;

use crate::race::median;

/// Passes everything on, and notes how long it took.
pub(super) struct Timed {
    search: Box<dyn Search>,
    times: Times,
}

/// For each window that was searched, the time it took for all budgets, in microseconds.
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
        median(self.0.lock().clone())
    }
}

/// The time of one window; booked when it has been searched.
struct Booked {
    us: Cell<f64>,
    times: Times,
}

impl Booked {
    fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.us.set(self.us.get() + started.elapsed().as_secs_f64() * 1e6);
        done
    }
}

impl Drop for Booked {
    fn drop(&mut self) {
        self.times.0.lock().push(self.us.get());
    }
}

impl Search for Timed {
    fn name(&self) -> &'static str {
        self.search.name()
    }

    fn prepare<'a>(&'a self, window: &'a Window) -> Prepared<'a> {
        let booked = Booked { us: Cell::new(0.0), times: self.times.clone() };
        let search = booked.time(|| self.search.prepare(window));
        Box::new(move |budget| booked.time(|| search(budget)))
    }
}
