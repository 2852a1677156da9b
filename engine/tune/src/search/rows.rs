//! Sets of rows as bits, and each ramp's rows from surest to least sure.

use super::super::window::Window;

/// A set of rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rows(Vec<u64>);

impl Rows {
    pub(super) fn full(rows: usize) -> Self {
        let mut bits = vec![u64::MAX; rows.div_ceil(64)];
        if let Some(last) = bits.last_mut().filter(|_| !rows.is_multiple_of(64)) {
            *last = (1 << (rows % 64)) - 1;
        }
        Self(bits)
    }

    pub(super) fn of(rows: usize, has: impl Fn(usize) -> bool) -> Self {
        let mut set = Self(vec![0; rows.div_ceil(64)]);
        (0..rows).filter(|&row| has(row)).for_each(|row| set.0[row / 64] |= 1 << (row % 64));
        set
    }

    pub(super) fn contains(&self, row: u32) -> bool {
        self.0[row as usize / 64] >> (row % 64) & 1 == 1
    }

    pub(super) fn remove(&mut self, other: &[u64]) {
        self.0.iter_mut().zip(other).for_each(|(own, other)| *own &= !other);
    }

    pub(super) fn keep(&mut self, other: &[u64]) {
        self.0.iter_mut().zip(other).for_each(|(own, other)| *own &= other);
    }

    pub(super) fn words(&self) -> &[u64] {
        &self.0
    }
}

/// Rows in both sets.
pub(super) fn count_both(one: &[u64], other: &[u64]) -> usize {
    one.iter().zip(other).map(|(one, other)| (one & other).count_ones() as usize).sum()
}

/// A row that a ramp gets wrong.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    row: u32,
    score: f32,
}

/// What a cut lets out, among the rows alive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    /// Which one: see [`Order::leaving`].
    pub(super) at: usize,
    /// Wrong rows that leave.
    pub(super) errors: u64,
}

/// One ramp's rows in falling order of score. A cut takes all rows surer than some wrong row: only
/// such cuts can be best, as right rows between two wrong ones leave at no cost.
pub(super) struct Order {
    scores: Vec<(f32, u32)>,
    wrong: Vec<Wrong>,
    /// For each wrong row the rows that are surer than it, and last all rows that may leave here.
    leaving: Vec<u64>,
    words: usize,
}

impl Order {
    /// Keeps as many cuts as fit in `bytes_max`, the strictest ones.
    pub(super) fn new(window: &Window, ramp: usize, bytes_max: usize) -> Self {
        let words = window.rows().div_ceil(64);
        let mut scores: Vec<(f32, u32)> = window.scores(ramp).iter().copied().zip(0..).collect();
        scores.retain(|(score, _)| *score >= 0.0);
        scores.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let agrees = window.agrees(ramp);
        let wrong = scores.iter().filter(|(_, row)| !agrees[*row as usize]);
        let mut wrong: Vec<Wrong> = wrong.map(|&(score, row)| Wrong { row, score }).collect();
        let kept = (bytes_max / (8 * words.max(1))).min(wrong.len());
        // No row may leave that is less sure than the first wrong one left out.
        let end = wrong.get(kept).map(|wrong| wrong.score);
        wrong.truncate(kept);
        let mut order = Self { scores, wrong, leaving: Vec::new(), words };
        order.fill(end);
        order
    }

    fn fill(&mut self, end: Option<f32>) {
        let (mut set, mut taken) = (vec![0_u64; self.words], 0);
        let mut ends: Vec<usize> = self.wrong.iter().map(|wrong| self.end(wrong.score)).collect();
        ends.push(end.map_or(self.scores.len(), |score| self.end(score)));
        for end in ends {
            for &(_, row) in &self.scores[taken..end] {
                set[row as usize / 64] |= 1 << (row % 64);
            }
            taken = end;
            self.leaving.extend_from_slice(&set);
        }
    }

    /// How many rows are surer than `score`.
    fn end(&self, score: f32) -> usize {
        self.scores.partition_point(|next| next.0 > score)
    }

    /// The rows that leave with a cut, alive or not.
    pub(super) fn leaving(&self, cut: usize) -> &[u64] {
        &self.leaving[cut * self.words..][..self.words]
    }

    /// The lowest score among the rows of `live` that leave with a cut; none where none do. Scores
    /// below it, down to that of the next wrong row, were never seen to be right.
    pub(super) fn threshold(&self, cut: usize, live: &Rows) -> Option<f32> {
        let leaving = self.leaving(cut);
        let leaves =
            |row: u32| live.contains(row) && leaving[row as usize / 64] >> (row % 64) & 1 == 1;
        self.scores.iter().rev().find(|(_, row)| leaves(*row)).map(|(score, _)| *score)
    }

    /// Visits the cuts that `live` can tell apart, from strict to loose, as long as they let out
    /// at most `allowed` wrong rows.
    pub(super) fn cuts(&self, live: &Rows, allowed: u64, mut visit: impl FnMut(Cut)) {
        let (mut tied, mut errors) = (f32::NAN, 0);
        for (at, wrong) in self.wrong.iter().enumerate() {
            if !live.contains(wrong.row) {
                continue;
            }
            // Rows with equal scores leave together.
            if wrong.score != tied {
                visit(Cut { at, errors });
                tied = wrong.score;
            }
            errors += 1;
            if errors > allowed {
                return;
            }
        }
        visit(Cut { at: self.wrong.len(), errors });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(window: &Window, live: &Rows, allowed: u64) -> Vec<(u64, Option<f32>)> {
        let order = Order::new(window, 0, usize::MAX);
        let mut found = Vec::new();
        order.cuts(live, allowed, |cut| {
            found.push((cut.errors, order.threshold(cut.at, live)));
        });
        found
    }

    #[test]
    fn cuts_lie_above_wrong_rows_and_ties_leave_together() {
        let scores = [0.9, 0.8, 0.8, 0.7, 0.6, 0.5, f32::NAN];
        let labels = [0, 1, 0, 0, 1, 0, 1];
        let window = Window::new(vec![0.5], &scores, &labels, &[0; 7]).unwrap();
        let all = Rows::full(7);
        let expected = [(0, Some(0.9)), (1, Some(0.7)), (2, Some(0.5))];
        assert_eq!(cuts(&window, &all, 2), expected);
        assert_eq!(cuts(&window, &all, 1), expected[..2]);
        let mut live = all;
        live.remove(&[0b11]);
        assert_eq!(cuts(&window, &live, 0), [(0, Some(0.7))]);
    }

    #[test]
    fn cuts_left_out_are_loose_ones() {
        let window = Window::new(vec![0.5], &[0.9, 0.8, 0.7, 0.6], &[0, 1, 0, 1], &[0; 4]).unwrap();
        let order = Order::new(&window, 0, 8);
        let mut ends = Vec::new();
        order.cuts(&Rows::full(4), 9, |cut| ends.push(order.leaving(cut.at)[0]));
        assert_eq!(ends, [0b1, 0b111]);
    }
}
