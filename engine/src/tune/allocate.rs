//! Which ramp may spend how much of a budget of disagreements.
//!
//! Two facts make the search small. A row's fate depends on its own scores only. And once a ramp
//! may be wrong `e` times among the rows that reach it, its best threshold is known: as low as it
//! can go before error `e + 1`, because the rows it gains that way all agree and leave early, at no
//! cost to any other row. So thresholds are whole numbers in disguise: errors allowed at each
//! ramp, summing to the budget.
//!
//! A beam search walks the ramps in order and keeps, for every amount spent so far, the partial
//! solutions that look best when completed without further errors. It is exact while all partial
//! solutions fit in the beam, as with a budget of a few errors. Afterwards errors are moved from
//! ramp to ramp as long as that saves depth.

use super::calibration::{Calibration, OFF, replay};

/// Thresholds with what they do to the rows they were chosen on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Allocation {
    /// One for each ramp; [`OFF`] where it never fires.
    pub(super) thresholds: Vec<f32>,
    /// Disagreements at all ramps together.
    pub(super) errors: usize,
    /// Sum over rows of the share of the forward run not taken.
    pub(super) saved: f64,
}

/// Row visits the beam may spend: fixes its width, so that time stays bounded on any input.
const VISITS_MAX: usize = 6_000_000;
const WIDTH_MIN: usize = 2;
const WIDTH_MAX: usize = 64;
/// Amounts spent are told apart to this many levels, fewer where there are many rows.
const LEVELS: std::ops::RangeInclusive<usize> = 8..=24;
const POLISH_ROUNDS_MAX: usize = 8;
/// Row visits that moving errors may spend, and the fewest moves tried on any input.
const POLISH_VISITS_MAX: usize = 8_000_000;
const POLISH_MOVES_MIN: usize = 60;

/// A calibration set prepared for search: each ramp's rows from surest to least sure.
pub(super) struct Search<'a> {
    calibration: &'a Calibration,
    order: Vec<Vec<Entry>>,
    /// `exits_min[e]`: the fewest exits with which a ramp may be wrong `e` times.
    exits_min: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Entry {
    row: u32,
    score: f32,
    agrees: bool,
}

/// A way to use one ramp: everything down to position `end` of its order leaves.
#[derive(Clone, Copy)]
struct Cut {
    threshold: f32,
    end: usize,
    errors: usize,
    exits: usize,
}

const NEVER: Cut = Cut { threshold: OFF, end: 0, errors: 0, exits: 0 };

/// The ramps so far are decided.
#[derive(Clone)]
struct Partial {
    thresholds: Vec<f32>,
    errors: usize,
    saved: f64,
    /// `saved` if every later ramp goes as low as it can without an error.
    promise: f64,
    live: Rows,
}

impl<'a> Search<'a> {
    /// Sorts the rows of every ramp. A ramp may be wrong `e` times only with at least
    /// `exits_min[e]` exits, and never more than `exits_min.len() - 1` times.
    pub(super) fn new(calibration: &'a Calibration, exits_min: Vec<usize>) -> Self {
        let order = (0..calibration.ramps()).map(|ramp| sorted(calibration, ramp)).collect();
        Self { calibration, order, exits_min }
    }

    /// The thresholds found that save most with at most `budget` errors. Of equal savings the one
    /// with fewer errors wins.
    pub(super) fn best(&self, budget: usize) -> Allocation {
        let found = self.beam(budget);
        self.polish(found, budget)
    }

    /// Thresholds free of errors that let only the surest `keep` (0 to 1) of the rows leave that
    /// could: for when even the errors to come must be few.
    pub(super) fn strict(&self, keep: f64) -> Allocation {
        let mut live = Rows::full(self.calibration.rows());
        let mut thresholds = Vec::new();
        for (ramp, order) in self.order.iter().enumerate() {
            let cut = self.cut(ramp, &live, 0);
            let leaving = order[..cut.end].iter().filter(|entry| live.contains(entry.row));
            let kept = (keep.clamp(0.0, 1.0) * cut.exits as f64) as usize;
            let last = kept.checked_sub(1).and_then(|last| leaving.clone().nth(last));
            thresholds.push(last.map_or(OFF, |entry| entry.score));
            order[..cut.end].iter().for_each(|entry| live.remove(entry.row));
        }
        self.measured(thresholds)
    }

    /// An allocation of thresholds that were not found by counting.
    fn measured(&self, thresholds: Vec<f32>) -> Allocation {
        let outcome = replay(self.calibration, &thresholds);
        let saved = (1.0 - outcome.mean_depth) * self.calibration.rows() as f64;
        Allocation { thresholds, errors: outcome.disagreements as usize, saved }
    }

    fn visits_per_sweep(&self) -> usize {
        (self.calibration.rows() * self.calibration.ramps()).max(1)
    }

    fn beam(&self, budget: usize) -> Allocation {
        // Each state kept is swept once and each of its children completed once.
        let sweeps = VISITS_MAX / self.visits_per_sweep();
        let levels = (sweeps / WIDTH_MIN).isqrt().clamp(*LEVELS.start(), *LEVELS.end());
        let level = budget.div_ceil(levels).max(1);
        let levels = budget / level + 1;
        let width = (sweeps / (levels * levels)).clamp(WIDTH_MIN, WIDTH_MAX);
        let mut states = vec![Partial::start(self.calibration.rows())];
        for ramp in 0..self.calibration.ramps() {
            let mut children = Vec::new();
            for state in &states {
                self.extend(state, ramp, (budget, level), &mut children);
            }
            states = keep(children, level, width);
        }
        let best = states.into_iter().min_by(Partial::order);
        best.map_or_else(|| self.realise(&[]).0, Allocation::from)
    }

    /// Every way on from `state` at `ramp`; of those that end on one level the best.
    fn extend(
        &self,
        state: &Partial,
        ramp: usize,
        (budget, level): (usize, usize),
        children: &mut Vec<Partial>,
    ) {
        let gain = 1.0 - self.calibration.depth(ramp);
        let mut last_level = usize::MAX;
        for cut in self.cuts(ramp, &state.live, budget - state.errors).into_iter().rev() {
            let at = (state.errors + cut.errors) / level;
            if at == last_level && cut.errors > 0 {
                continue;
            }
            last_level = at;
            let mut child = state.clone();
            self.order[ramp][..cut.end].iter().for_each(|entry| child.live.remove(entry.row));
            child.thresholds.push(cut.threshold);
            child.errors += cut.errors;
            child.saved += gain * cut.exits as f64;
            child.promise = child.saved + self.free_savings(ramp + 1, &child.live);
            children.push(child);
        }
    }

    /// What ramps from `ramp` on save without any error.
    fn free_savings(&self, ramp: usize, live: &Rows) -> f64 {
        let mut live = live.clone();
        let mut saved = 0.0;
        for ramp in ramp..self.calibration.ramps() {
            let cut = self.cut(ramp, &live, 0);
            self.order[ramp][..cut.end].iter().for_each(|entry| live.remove(entry.row));
            saved += (1.0 - self.calibration.depth(ramp)) * cut.exits as f64;
        }
        saved
    }

    /// For each number of errors up to `errors_max` the lowest cut with that number, in ascending
    /// order; the first is always free of errors. Cuts with too few exits for their errors are
    /// left out.
    fn cuts(&self, ramp: usize, live: &Rows, errors_max: usize) -> Vec<Cut> {
        let mut cuts = vec![NEVER];
        self.sweep(ramp, live, errors_max, |cut| match cuts.last_mut() {
            Some(last) if last.errors == cut.errors => *last = cut,
            _ => cuts.push(cut),
        });
        cuts
    }

    /// The lowest admissible cut with at most `errors_max` errors.
    fn cut(&self, ramp: usize, live: &Rows, errors_max: usize) -> Cut {
        let mut best = NEVER;
        self.sweep(ramp, live, errors_max, |cut| best = cut);
        best
    }

    /// Visits the admissible cuts from strict to loose. Rows with equal scores leave together.
    fn sweep(&self, ramp: usize, live: &Rows, errors_max: usize, mut visit: impl FnMut(Cut)) {
        let order = &self.order[ramp];
        let errors_max = errors_max.min(self.exits_min.len() - 1);
        let mut cut = NEVER;
        for (i, entry) in order.iter().enumerate() {
            if live.contains(entry.row) {
                cut.exits += 1;
                cut.errors += usize::from(!entry.agrees);
                // The threshold is the lowest score that leaves among these rows: scores between
                // it and the next row, which is wrong, were never seen to be right.
                cut.threshold = entry.score;
            }
            if cut.errors > errors_max {
                return;
            }
            cut.end = i + 1;
            let tied = order.get(i + 1).is_some_and(|next| next.score == entry.score);
            if !tied && cut.exits > 0 && cut.exits >= self.exits_min[cut.errors] {
                visit(cut);
            }
        }
    }

    /// Moves errors between ramps, in ever smaller lots, while that helps.
    fn polish(&self, start: Allocation, budget: usize) -> Allocation {
        let (again, mut errors) = self.realise(&self.spent(&start));
        let mut best = if again.is_better(&start) { again } else { start };
        let mut evaluations = (POLISH_VISITS_MAX / self.visits_per_sweep()).max(POLISH_MOVES_MIN);
        let mut lot = budget.div_ceil(*LEVELS.end()).max(1);
        loop {
            for _ in 0..POLISH_ROUNDS_MAX {
                if !self.polish_round(&mut best, &mut errors, (budget, lot), &mut evaluations) {
                    break;
                }
            }
            if lot == 1 || evaluations == 0 {
                return best;
            }
            lot = lot.div_ceil(4);
        }
    }

    /// Tries every move of `lot` errors from one ramp (or the unspent budget) to another once;
    /// whether any helped.
    fn polish_round(
        &self,
        best: &mut Allocation,
        errors: &mut Vec<usize>,
        (budget, lot): (usize, usize),
        evaluations: &mut usize,
    ) -> bool {
        let ramps = self.calibration.ramps();
        let mut helped = false;
        for (from, to) in (0..=ramps).flat_map(|from| (0..ramps).map(move |to| (from, to))) {
            let mut moved = errors.clone();
            moved[to] += lot;
            match moved.get_mut(from).filter(|_| from != to) {
                Some(errors) if *errors > 0 => *errors = errors.saturating_sub(lot),
                None if from == ramps => {}
                _ => continue,
            }
            if moved.iter().sum::<usize>() > budget || *evaluations == 0 {
                continue;
            }
            *evaluations -= 1;
            let (allocation, spent) = self.realise(&moved);
            if allocation.is_better(best) {
                (*best, *errors, helped) = (allocation, spent, true);
            }
        }
        helped
    }

    /// Each ramp in turn as low as its allowance goes; with what each really spent.
    fn realise(&self, allowance: &[usize]) -> (Allocation, Vec<usize>) {
        let mut live = Rows::full(self.calibration.rows());
        let mut allocation = Allocation { thresholds: Vec::new(), errors: 0, saved: 0.0 };
        let mut spent = Vec::new();
        for ramp in 0..self.calibration.ramps() {
            let cut = self.cut(ramp, &live, allowance.get(ramp).copied().unwrap_or(0));
            self.order[ramp][..cut.end].iter().for_each(|entry| live.remove(entry.row));
            allocation.thresholds.push(cut.threshold);
            allocation.errors += cut.errors;
            allocation.saved += (1.0 - self.calibration.depth(ramp)) * cut.exits as f64;
            spent.push(cut.errors);
        }
        (allocation, spent)
    }

    /// Errors made at each ramp.
    fn spent(&self, allocation: &Allocation) -> Vec<usize> {
        let mut spent = vec![0; self.calibration.ramps()];
        for row in 0..self.calibration.rows() {
            let mut passes = allocation.thresholds.iter().enumerate();
            let leaves = passes.find(|(ramp, t)| self.calibration.score(row, *ramp) >= **t);
            if let Some((ramp, _)) = leaves {
                spent[ramp] += usize::from(!self.calibration.agrees(row, ramp));
            }
        }
        spent
    }
}

fn sorted(calibration: &Calibration, ramp: usize) -> Vec<Entry> {
    let entry = |row| Entry {
        row: row as u32,
        score: calibration.score(row, ramp),
        agrees: calibration.agrees(row, ramp),
    };
    let mut order: Vec<Entry> =
        (0..calibration.rows()).map(entry).filter(|entry| !entry.score.is_nan()).collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
    order
}

/// The `width` most promising states of every level of errors.
fn keep(mut children: Vec<Partial>, level: usize, width: usize) -> Vec<Partial> {
    children.sort_by(|a, b| (a.errors / level).cmp(&(b.errors / level)).then(a.order(b)));
    let (mut kept, mut at, mut count) = (Vec::<Partial>::new(), usize::MAX, 0);
    for child in children {
        let same_level = child.errors / level == at;
        count = if same_level { count + 1 } else { 1 };
        at = child.errors / level;
        let twin = kept.last().is_some_and(|last| same_level && last.live == child.live);
        if count <= width && !twin {
            kept.push(child);
        }
    }
    kept
}

impl Partial {
    fn start(rows: usize) -> Self {
        Self { thresholds: Vec::new(), errors: 0, saved: 0.0, promise: 0.0, live: Rows::full(rows) }
    }

    /// Most promising first, then fewest errors, then strictest early ramps.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let promise = other.promise.total_cmp(&self.promise);
        let strict = || other.thresholds.partial_cmp(&self.thresholds);
        promise
            .then(self.errors.cmp(&other.errors))
            .then_with(|| strict().unwrap_or(std::cmp::Ordering::Equal))
    }
}

impl Allocation {
    /// Saves more (beyond rounding), or as much with fewer errors.
    fn is_better(&self, other: &Self) -> bool {
        let gain = self.saved - other.saved;
        gain > 1e-9 || (gain > -1e-9 && self.errors < other.errors)
    }
}

impl From<Partial> for Allocation {
    fn from(state: Partial) -> Self {
        Self { thresholds: state.thresholds, errors: state.errors, saved: state.saved }
    }
}

/// A set of rows.
#[derive(Clone, PartialEq)]
struct Rows(Vec<u64>);

impl Rows {
    fn full(rows: usize) -> Self {
        Self(vec![u64::MAX; rows.div_ceil(64)])
    }

    fn contains(&self, row: u32) -> bool {
        self.0[row as usize / 64] >> (row % 64) & 1 == 1
    }

    fn remove(&mut self, row: u32) {
        self.0[row as usize / 64] &= !(1 << (row % 64));
    }
}
