//! What a set of thresholds would have done to a window.

use std::slice::SliceIndex;

use super::window::Window;

/// What thresholds do to a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Share of rows answered with the full model's label; 1 for no rows.
    pub agreement: f64,
    /// Rows seen to get another label.
    pub disagreements: u64,
    /// Rows leaving at each ramp, and last those that reach the end: `[ramps + 1]`.
    pub exits: Vec<u64>,
    /// What a row costs on the mean, as a share of going to the end; 1 for no rows.
    pub mean_depth: f64,
}

impl Replay {
    /// Share of the rows that leave at these exits.
    pub(super) fn share(&self, exits: impl SliceIndex<[u64], Output = [u64]>) -> f64 {
        let rows: u64 = self.exits.iter().sum();
        self.exits[exits].iter().sum::<u64>() as f64 / rows.max(1) as f64
    }
}

/// Sends every row through `thresholds` (one for each ramp; a ramp without one is off): it leaves
/// at the first ramp whose score is at least the threshold.
pub fn replay(window: &Window, thresholds: &[f32]) -> Replay {
    let exits = exits(window, thresholds);
    tally(window, &exits)
}

/// By row: the ramp it leaves at, or the number of ramps.
pub fn exits(window: &Window, thresholds: &[f32]) -> Vec<u32> {
    let mut exits = vec![window.ramps() as u32; window.rows()];
    for (block, exits) in exits.chunks_mut(BLOCK).enumerate() {
        let at = block * BLOCK;
        for (ramp, &threshold) in (0..window.ramps()).zip(thresholds).rev() {
            let scores = &window.scores(ramp)[at..at + exits.len()];
            overrule(exits, scores, threshold, ramp as u32);
        }
    }
    exits
}

/// Rows whose exits stay in registers while ramps pass by.
const BLOCK: usize = 64;

/// Rows that reach the threshold leave at `ramp`, whatever later ramps said. Without a branch, and
/// for a number of rows known beforehand, so that several go at once.
fn overrule(exits: &mut [u32], scores: &[f32], threshold: f32, ramp: u32) {
    let leave = |exit: &mut u32, score: f32| *exit = if score >= threshold { ramp } else { *exit };
    if let (Ok(exits), Ok(scores)) =
        (<&mut [u32; BLOCK]>::try_from(&mut *exits), <&[f32; BLOCK]>::try_from(scores))
    {
        exits.iter_mut().zip(scores).for_each(|(exit, &score)| leave(exit, score));
    } else {
        exits.iter_mut().zip(scores).for_each(|(exit, &score)| leave(exit, score));
    }
}

/// The best that any exits can do without an error: every row leaves at the first ramp that
/// agrees with the full model, whatever its score.
#[cfg(test)]
pub(super) fn oracle(window: &Window) -> Replay {
    let first = |row: usize| (0..window.ramps()).find(|&ramp| window.agrees(ramp)[row]);
    let exit = |row| first(row).unwrap_or(window.ramps()) as u32;
    tally(window, &(0..window.rows()).map(exit).collect::<Vec<_>>())
}

/// What leaving at `exits` (by row, the number of ramps for the end) comes to.
pub(super) fn tally(window: &Window, exits: &[u32]) -> Replay {
    let ramps = window.ramps();
    let mut rows_at = vec![0; ramps + 1];
    let mut disagreements = 0;
    for (row, &exit) in exits.iter().enumerate() {
        let exit = exit as usize;
        rows_at[exit] += 1;
        disagreements += u64::from(exit < ramps && !window.agrees(exit)[row]);
    }
    let rows = exits.len().max(1) as f64;
    let saved = |(ramp, &rows): (usize, &u64)| rows as f64 * (1.0 - window.depth(ramp));
    let saved: f64 = rows_at[..ramps].iter().enumerate().map(saved).sum();
    Replay {
        agreement: 1.0 - disagreements as f64 / rows,
        disagreements,
        exits: rows_at,
        mean_depth: 1.0 - saved / rows,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::window::OFF;
    use super::*;

    fn two_ramps() -> Window {
        let scores = [0.9, 0.95, 0.4, 0.8, f32::NAN, f32::NAN, 0.9, 0.1];
        let labels = [1, 2, 7, 3, 4, 4, 9, 4];
        Window::new(vec![0.25, 0.5], &scores, &labels, &[1, 3, 4, 4]).unwrap()
    }

    #[test]
    fn a_row_leaves_at_the_first_ramp_that_reaches_its_threshold() {
        let replay = replay(&two_ramps(), &[0.9, 0.8]);
        assert_eq!(replay.exits, [2, 1, 1]);
        assert_eq!((replay.disagreements, replay.agreement), (1, 0.75));
        assert_eq!(replay.mean_depth, (0.25 + 0.5 + 1.0 + 0.25) / 4.0);
    }

    #[test]
    fn nan_never_exits_and_missing_thresholds_are_off() {
        assert_eq!(replay(&two_ramps(), &[0.0, 0.0]).exits, [3, 0, 1]);
        assert_eq!(replay(&two_ramps(), &[]).exits, [0, 0, 4]);
        assert_eq!(replay(&two_ramps(), &[f32::NAN, OFF]).exits, [0, 0, 4]);
    }

    #[test]
    fn the_oracle_leaves_where_the_ramp_agrees_and_never_errs() {
        let oracle = oracle(&two_ramps());
        assert_eq!((oracle.disagreements, oracle.exits), (0, vec![2, 2, 0]));
    }

    proptest! {
        #[test]
        fn counts_as_counting_by_hand_does_and_looser_is_never_later(
            drawn in prop::collection::vec((0_u8..20, 0_u32..3), 3 * 70),
            thresholds in prop::array::uniform3(0_u8..22),
            looser in 0_usize..3,
        ) {
            let share = |count: u8| f32::from(count) / 20.0;
            let scores: Vec<f32> = drawn.iter().map(|(score, _)| share(*score)).collect();
            let labels: Vec<u32> = drawn.iter().map(|(_, label)| *label).collect();
            let window = Window::new(vec![0.2, 0.5, 0.7], &scores, &labels, &[0; 70]).unwrap();
            let mut thresholds = thresholds.map(share);
            let outcome = replay(&window, &thresholds);
            let (mut wrong, mut depth) = (0, 0.0);
            for row in drawn.chunks(3) {
                let leaves = (0..3).find(|&ramp| share(row[ramp].0) >= thresholds[ramp]);
                wrong += u64::from(leaves.is_some_and(|ramp| row[ramp].1 != 0));
                depth += leaves.map_or(1.0, |ramp| [0.2, 0.5, 0.7][ramp]);
            }
            prop_assert_eq!(outcome.disagreements, wrong);
            prop_assert!((outcome.agreement - (1.0 - wrong as f64 / 70.0)).abs() < 1e-12);
            prop_assert!((outcome.mean_depth - depth / 70.0).abs() < 1e-12);
            let before = exits(&window, &thresholds);
            thresholds[looser] *= 0.5;
            let after = exits(&window, &thresholds);
            prop_assert!(after.iter().zip(&before).all(|(after, before)| after <= before));
        }
    }
}
