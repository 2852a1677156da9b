//! The exact search on a tether: no ramp's threshold may lie much below the best single one.
//!
//! A window tells little about scores that no row of it had. Where rows come in runs and their mix
//! drifts, one ramp may look right all the way down, until other rows come; a search that takes
//! all that a window allows then breaks its promise. A single threshold for all ramps has no such
//! freedom, and gives away what is easy. This lies between them.

use super::super::window::Window;
use super::{Exact, Prepared, Search, Uniform};

/// Exact within reach of the best single threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tethered {
    /// How far thresholds may lie below it, in log odds of the score.
    pub reach: f32,
}

impl Default for Tethered {
    fn default() -> Self {
        Self { reach: 0.5 }
    }
}

impl Search for Tethered {
    fn name(&self) -> &'static str {
        "tethered"
    }

    fn prepare<'a>(&'a self, window: &'a Window) -> Prepared<'a> {
        const SINGLE: Uniform = Uniform { candidates: 100 };
        let single = SINGLE.prepare(window);
        Box::new(move |budget| {
            let single = single(budget);
            let Some(&single) = single.first() else { return single };
            let odds = (single / (1.0 - single).max(1e-7)) * (-self.reach).exp();
            let floor = if single > 1.0 { single } else { odds / (1.0 + odds) };
            Exact::ONLINE.search(&window.above(floor), budget)
        })
    }
}
