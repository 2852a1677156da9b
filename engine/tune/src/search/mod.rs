//! Searches for thresholds, all behind one trait: ours, and those it is measured against.

mod exact;
mod greedy;
mod grid;
mod rows;
mod tethered;
mod uniform;

pub(super) use exact::{Allocation, Solver};

pub use exact::Exact;
pub use greedy::Greedy;
pub use grid::Grid;
pub use tethered::Tethered;
pub use uniform::Uniform;

use super::window::Window;

/// What a search may spend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Rows that may get another label than the full model's.
    pub errors: u64,
    /// By number of errors: the fewest exits with which a ramp is believed. Empty: always. A
    /// ramp never errs more often than this has entries for. [`Exact`] heeds it, and
    /// [`Tethered`] through it.
    pub exits_min: Vec<usize>,
}

impl Budget {
    /// So many errors, wherever.
    pub fn of(errors: u64) -> Self {
        Self { errors, exits_min: Vec::new() }
    }

    /// Whether a ramp with so many errors among its exits may be used.
    fn believes(&self, errors: usize, exits: impl FnOnce() -> usize) -> bool {
        let least = self.exits_min.get(errors);
        self.exits_min.is_empty() || least.is_some_and(|&least| exits() >= least)
    }
}

/// A window, ready to be searched within any budget.
pub type Prepared<'a> = Box<dyn Fn(&Budget) -> Vec<f32> + 'a>;

/// Chooses thresholds on a window.
pub trait Search: Send {
    /// Its name on the command line and in tables.
    fn name(&self) -> &'static str;

    /// Looks at a window, to search it within one budget after the other.
    fn prepare<'a>(&'a self, window: &'a Window) -> Prepared<'a>;

    /// One threshold for each ramp ([`OFF`](super::OFF) where it is not used) that let rows leave
    /// as early as this search can find, with no more errors than the budget has.
    fn search(&self, window: &Window, budget: &Budget) -> Vec<f32> {
        self.prepare(window)(budget)
    }
}

#[cfg(test)]
pub(super) mod tests;
