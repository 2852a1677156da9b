//! The best thresholds of a window, found by spending errors.
//!
//! Two facts make the search small. A row's fate depends on its own scores only. And once a ramp
//! may be wrong `e` times among the rows that reach it, its best threshold is known: as low as it
//! can go before error `e + 1`, because the rows it gains that way all agree and leave early, at no
//! cost to any other row. So thresholds are whole numbers in disguise: errors allowed at each
//! ramp, summing to the budget.
//!
//! Branch and bound walks the ramps in order. A partial solution promises what it saves if later
//! ramps make no error, and can never save more than if every later ramp had all that is left of
//! the budget to itself: rows that leave earlier only make room for later ramps. What cannot beat
//! the best promise goes. While no more partial solutions are left than fit, as with a budget of
//! a few errors, the result is exact. Beyond that the most promising are kept, and errors are
//! moved from ramp to ramp afterwards as long as that saves.

use super::super::replay::{exits, replay};
use super::super::window::{OFF, Window};
use super::rows::{Cut, Order, Rows, count_both};
use super::{Budget, Prepared, Search};

/// Branch and bound over errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    /// Words of row sets that a search may read: fixes how many partial solutions it keeps, so
    /// that time stays bounded on any window.
    pub words_max: usize,
}

impl Exact {
    /// For windows of hundreds of rows, searched while serving: under a millisecond.
    pub const ONLINE: Self = Self { words_max: 400_000 };
    /// For calibration sets of thousands, searched once.
    pub const OFFLINE: Self = Self { words_max: 40_000_000 };
}

impl Search for Exact {
    fn name(&self) -> &'static str {
        "exact"
    }

    fn prepare<'a>(&'a self, window: &'a Window) -> Prepared<'a> {
        Box::new(|budget| Solver::new(window, budget, *self).best(budget.errors).thresholds)
    }
}

/// Thresholds with what they do to the rows they were chosen on.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Allocation {
    /// One for each ramp; [`OFF`] where it never fires.
    pub(in super::super) thresholds: Vec<f32>,
    /// Wrong rows that leave, at all ramps together.
    pub(in super::super) errors: u64,
    /// Sum over rows of the share of the forward not taken.
    pub(in super::super) saved: f64,
    /// Nothing better exists.
    pub(in super::super) is_exact: bool,
}

/// Memory for cuts, all ramps together.
const CUT_BYTES_MAX: usize = 64 << 20;
/// Amounts spent are told apart to this many levels.
const LEVELS: usize = 24;
const WIDTH_MIN: usize = 2;
const POLISH_ROUNDS_MAX: usize = 8;
/// The fewest moves of errors tried on any input.
const POLISH_MOVES_MIN: usize = 60;
/// Differences below are rounding.
const NOTHING: f64 = 1e-9;

/// A window prepared for search.
pub(in super::super) struct Solver<'a> {
    window: &'a Window,
    budget: &'a Budget,
    orders: Vec<Order>,
    options: Exact,
}

/// The ramps so far are decided.
#[derive(Clone, Debug)]
struct Partial {
    cuts: Vec<Option<usize>>,
    errors: u64,
    saved: f64,
    /// `saved` if every later ramp goes as low as it can without an error.
    promise: f64,
    live: Rows,
}

impl<'a> Solver<'a> {
    pub(in super::super) fn new(window: &'a Window, budget: &'a Budget, options: Exact) -> Self {
        let bytes = CUT_BYTES_MAX / window.ramps().max(1);
        let orders = (0..window.ramps()).map(|ramp| Order::new(window, ramp, bytes)).collect();
        Self { window, budget, orders, options }
    }

    /// The thresholds found that save most with at most `allowed` errors. Of equal savings those
    /// with fewer errors win.
    pub(in super::super) fn best(&self, allowed: u64) -> Allocation {
        let (found, is_exact) = self.branch(allowed);
        let found = self.allocation(&found, is_exact);
        if is_exact { found } else { self.polish(found, allowed) }
    }

    /// Thresholds free of errors that let only the surest `keep` (0 to 1) of the rows leave that
    /// could: for when even the errors to come must be few.
    pub(in super::super) fn strict(&self, keep: f64) -> Allocation {
        let free = self.best(0);
        let exits = exits(self.window, &free.thresholds);
        let surest = |ramp: usize| {
            let scores = self.window.scores(ramp).iter().zip(&exits);
            let mut leaving: Vec<f32> =
                scores.filter(|(_, exit)| **exit == ramp as u32).map(|(score, _)| *score).collect();
            leaving.sort_unstable_by(|a, b| b.total_cmp(a));
            let kept = (keep.clamp(0.0, 1.0) * leaving.len() as f64) as usize;
            kept.checked_sub(1).map_or(OFF, |last| leaving[last])
        };
        let thresholds: Vec<f32> = (0..self.window.ramps()).map(surest).collect();
        let outcome = replay(self.window, &thresholds);
        let saved = (1.0 - outcome.mean_depth) * self.window.rows() as f64;
        Allocation { thresholds, errors: 0, saved, is_exact: false }
    }

    /// The best partial solution seen, and whether nothing had to be forgotten.
    fn branch(&self, allowed: u64) -> (Partial, bool) {
        let mut start = self.start();
        start.promise = self.finish(0, start.live.clone());
        let (mut best, mut is_exact) = (start.clone(), true);
        let width = self.width(allowed);
        let mut states = vec![start];
        for ramp in 0..self.orders.len() {
            let mut children = Vec::new();
            for state in &states {
                self.extend(state, ramp, allowed, &mut children);
            }
            let first = children.iter().min_by(|a, b| a.order(b));
            if let Some(child) = first.filter(|child| child.order(&best).is_lt()) {
                best = child.clone();
            }
            children.retain(|child| self.bound(child, allowed) > best.promise + NOTHING);
            let found = children.len();
            states = keep(children, allowed as f64 / LEVELS as f64, width);
            is_exact &= states.len() == found;
        }
        (best, is_exact)
    }

    /// Partial solutions kept of each level: each child is completed twice.
    fn width(&self, allowed: u64) -> usize {
        let ramps = self.orders.len();
        let completion = (self.window.rows().div_ceil(64) * ramps).max(1);
        let levels = (allowed as usize + 1).min(LEVELS);
        let children = ramps.max(1) * levels * levels;
        (self.options.words_max / (completion * children)).max(WIDTH_MIN)
    }

    /// Nothing decided, and nothing promised.
    fn start(&self) -> Partial {
        let live = Rows::full(self.window.rows());
        Partial { cuts: Vec::new(), errors: 0, saved: 0.0, promise: 0.0, live }
    }

    /// Every way on from `state` at `ramp`.
    fn extend(&self, state: &Partial, ramp: usize, allowed: u64, children: &mut Vec<Partial>) {
        let before = children.len();
        self.cuts(ramp, &state.live, allowed - state.errors, |cut| {
            children.push(self.child(state, ramp, Some(cut)));
        });
        if children.len() == before {
            children.push(self.child(state, ramp, None));
        }
    }

    fn child(&self, state: &Partial, ramp: usize, cut: Option<Cut>) -> Partial {
        let mut child = state.clone();
        child.cuts.push(cut.map(|cut| cut.at));
        if let Some(cut) = cut {
            child.errors += cut.errors;
            child.saved += self.take(ramp, cut.at, &mut child.live);
        }
        child.promise = child.saved + self.finish(ramp + 1, child.live.clone());
        child
    }

    /// Lets a cut's rows leave `live`; what that saves.
    fn take(&self, ramp: usize, cut: usize, live: &mut Rows) -> f64 {
        let leaving = self.orders[ramp].leaving(cut);
        let gain = 1.0 - self.window.depth(ramp);
        let saved = gain * count_both(live.words(), leaving) as f64;
        live.remove(leaving);
        saved
    }

    /// More than any way to go on from here can save.
    fn bound(&self, state: &Partial, allowed: u64) -> f64 {
        let (mut live, mut saved) = (state.live.clone(), state.saved);
        for ramp in state.cuts.len()..self.orders.len() {
            let mut last = None;
            self.orders[ramp].cuts(&live, allowed - state.errors, |cut| last = Some(cut));
            saved += last.map_or(0.0, |cut| self.take(ramp, cut.at, &mut live));
        }
        saved
    }

    /// What ramps from `ramp` on save without an error.
    fn finish(&self, ramp: usize, mut live: Rows) -> f64 {
        let mut saved = 0.0;
        for ramp in ramp..self.orders.len() {
            if let Some(cut) = self.loosest(ramp, &live, 0) {
                saved += self.take(ramp, cut.at, &mut live);
            }
        }
        saved
    }

    /// The cuts with exits enough for their errors.
    fn cuts(&self, ramp: usize, live: &Rows, allowed: u64, mut visit: impl FnMut(Cut)) {
        let order = &self.orders[ramp];
        order.cuts(live, allowed, |cut| {
            let exits = || count_both(live.words(), order.leaving(cut.at));
            if self.budget.believes(cut.errors as usize, exits) {
                visit(cut);
            }
        });
    }

    fn loosest(&self, ramp: usize, live: &Rows, allowed: u64) -> Option<Cut> {
        let mut last = None;
        self.cuts(ramp, live, allowed, |cut| last = Some(cut));
        last
    }

    /// Thresholds of a partial solution; ramps not decided go as low as they can without an error.
    fn allocation(&self, state: &Partial, is_exact: bool) -> Allocation {
        let mut live = Rows::full(self.window.rows());
        let mut thresholds = Vec::new();
        for (ramp, order) in self.orders.iter().enumerate() {
            let decided = state.cuts.get(ramp).copied();
            let cut = decided.unwrap_or_else(|| self.loosest(ramp, &live, 0).map(|cut| cut.at));
            thresholds.push(cut.and_then(|cut| order.threshold(cut, &live)).unwrap_or(OFF));
            if let Some(cut) = cut {
                self.take(ramp, cut, &mut live);
            }
        }
        Allocation { thresholds, errors: state.errors, saved: state.promise, is_exact }
    }

    /// Each ramp in turn as low as its allowance goes; with what each really spent.
    fn realise(&self, allowance: &[u64]) -> (Partial, Vec<u64>) {
        let mut state = self.start();
        let mut spent = Vec::new();
        for (ramp, &allowance) in allowance.iter().enumerate() {
            let cut = self.loosest(ramp, &state.live, allowance);
            if let Some(cut) = cut {
                state.saved += self.take(ramp, cut.at, &mut state.live);
            }
            let errors = cut.map_or(0, |cut| cut.errors);
            state.cuts.push(cut.map(|cut| cut.at));
            state.errors += errors;
            spent.push(errors);
        }
        state.promise = state.saved;
        (state, spent)
    }

    /// Moves errors between ramps, in ever smaller lots, while that helps.
    fn polish(&self, start: Allocation, allowed: u64) -> Allocation {
        let (mut best, mut spent) = self.realise(&self.spent(&start.thresholds));
        let sweep = (self.window.rows().div_ceil(64) * self.orders.len()).max(1);
        let mut moves = (self.options.words_max / sweep).max(POLISH_MOVES_MIN);
        let mut lot = allowed.div_ceil(LEVELS as u64).max(1);
        loop {
            for _ in 0..POLISH_ROUNDS_MAX {
                if !self.polish_round(&mut best, &mut spent, (allowed, lot), &mut moves) {
                    break;
                }
            }
            if lot <= 1 || moves == 0 {
                break;
            }
            lot = lot.div_ceil(4);
        }
        let better = best.promise > start.saved + NOTHING;
        if better { self.allocation(&best, false) } else { start }
    }

    /// Tries every move of `lot` errors from one ramp (or what is not spent) to another once;
    /// whether any helped.
    fn polish_round(
        &self,
        best: &mut Partial,
        spent: &mut Vec<u64>,
        (allowed, lot): (u64, u64),
        moves: &mut usize,
    ) -> bool {
        let ramps = self.orders.len();
        let mut helped = false;
        for (from, to) in (0..=ramps).flat_map(|from| (0..ramps).map(move |to| (from, to))) {
            if from == to || spent.get(from) == Some(&0) {
                continue;
            }
            let mut moved = spent.clone();
            if let Some(from) = moved.get_mut(from) {
                *from = from.saturating_sub(lot);
            }
            moved[to] += lot;
            if moved.iter().sum::<u64>() > allowed || *moves == 0 {
                continue;
            }
            *moves -= 1;
            let (state, really) = self.realise(&moved);
            if state.order(best).is_lt() {
                (*best, *spent, helped) = (state, really, true);
            }
        }
        helped
    }

    /// Errors by ramp.
    fn spent(&self, thresholds: &[f32]) -> Vec<u64> {
        let mut spent = vec![0; self.orders.len()];
        let exits = exits(self.window, thresholds);
        for (row, &exit) in exits.iter().enumerate() {
            let exit = exit as usize;
            if exit < spent.len() && !self.window.agrees(exit)[row] {
                spent[exit] += 1;
            }
        }
        spent
    }
}

/// The `width` most promising states of every level of errors.
fn keep(mut children: Vec<Partial>, level: f64, width: usize) -> Vec<Partial> {
    let level_of =
        |state: &Partial| if level > 0.0 { (state.errors as f64 / level) as usize } else { 0 };
    children.sort_by(|a, b| level_of(a).cmp(&level_of(b)).then(a.order(b)));
    let (mut at, mut count) = (usize::MAX, 0);
    children.retain(|child| {
        count = if level_of(child) == at { count + 1 } else { 1 };
        at = level_of(child);
        count <= width
    });
    children
}

impl Partial {
    /// Most promising first, beyond rounding; then fewest errors.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let gain = other.promise - self.promise;
        if gain.abs() > NOTHING {
            return gain.total_cmp(&0.0);
        }
        self.errors.cmp(&other.errors)
    }
}
