//! Recorded rows on which thresholds are chosen, and what a set of thresholds does to them.

pub use offramp_weights::thresholds::OFF;

/// What every ramp and the full model said about each of a set of rows, and what leaving costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    ramps: usize,
    depths: Vec<f64>,
    scores: Vec<f32>,
    labels: Vec<u32>,
    final_labels: Vec<u32>,
}

/// Why recorded rows cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Scores, labels and final labels do not describe the same rows.
    #[error("sizes disagree: {what} holds {found} values, expected {expected}")]
    Size {
        /// "scores" or "labels".
        what: &'static str,
        /// Values it holds.
        found: usize,
        /// Rows times ramps.
        expected: usize,
    },
    /// Depths must lie in `0..=1` and not fall from one ramp to the next: usually ramps are not
    /// in the order a row meets them.
    #[error("depth {depth} of ramp {ramp} is outside 0..=1 or below that of the ramp before")]
    Depth {
        /// The ramp.
        ramp: usize,
        /// Its depth.
        depth: f64,
    },
    /// A score is neither NaN nor below [`OFF`]: usually logits were recorded.
    #[error("score {score} of row {row} at ramp {ramp} is not in 0..=1")]
    Score {
        /// The row.
        row: usize,
        /// The ramp.
        ramp: usize,
        /// The score.
        score: f32,
    },
}

impl Calibration {
    /// Rows seen at `depths.len()` ramps, in the order a row meets them.
    ///
    /// `depths`: share of the forward run done when a row leaves at each ramp, with the cost of the
    /// ramps on the way if that counts; the full model is 1. `scores` and `labels`:
    /// `[rows, ramps]`, row-major; a NaN score never exits. `final_labels`: `[rows]`, the
    /// full model's.
    ///
    /// # Errors
    /// See [`CalibrationError`].
    pub fn new(
        depths: Vec<f64>,
        scores: Vec<f32>,
        labels: Vec<u32>,
        final_labels: Vec<u32>,
    ) -> Result<Self, CalibrationError> {
        let (ramps, expected) = (depths.len(), final_labels.len() * depths.len());
        for (what, found) in [("scores", scores.len()), ("labels", labels.len())] {
            if found != expected {
                return Err(CalibrationError::Size { what, found, expected });
            }
        }
        let mut least = 0.0;
        for (ramp, &depth) in depths.iter().enumerate() {
            if !(least..=1.0).contains(&depth) {
                return Err(CalibrationError::Depth { ramp, depth });
            }
            least = depth;
        }
        if let Some(at) = scores.iter().position(|s| *s < 0.0 || *s >= OFF) {
            let (row, ramp) = (at / ramps, at % ramps);
            return Err(CalibrationError::Score { row, ramp, score: scores[at] });
        }
        Ok(Self { ramps, depths, scores, labels, final_labels })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.final_labels.len()
    }

    /// Number of ramps.
    pub fn ramps(&self) -> usize {
        self.ramps
    }

    /// Share of the forward run done on leaving at `ramp`.
    pub fn depth(&self, ramp: usize) -> f64 {
        self.depths[ramp]
    }

    /// The score of `row` at `ramp`.
    pub fn score(&self, row: usize, ramp: usize) -> f32 {
        self.scores[row * self.ramps + ramp]
    }

    /// Whether `ramp` gives `row` the full model's label.
    pub fn agrees(&self, row: usize, ramp: usize) -> bool {
        self.labels[row * self.ramps + ramp] == self.final_labels[row]
    }

    /// The same ramps over `rows` only.
    pub fn subset(&self, rows: &[u32]) -> Self {
        let spans = || rows.iter().map(|&row| row as usize * self.ramps);
        let span = |start: usize| start..start + self.ramps;
        Self {
            ramps: self.ramps,
            depths: self.depths.clone(),
            scores: spans().flat_map(|start| &self.scores[span(start)]).copied().collect(),
            labels: spans().flat_map(|start| &self.labels[span(start)]).copied().collect(),
            final_labels: rows.iter().map(|&row| self.final_labels[row as usize]).collect(),
        }
    }
}

/// What thresholds do to a calibration set.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// Share of rows answered with the full model's label; 1 for no rows.
    pub agreement: f64,
    /// Rows answered with another label.
    pub disagreements: u64,
    /// Rows leaving at each ramp, and last those that reach the end: `[ramps + 1]`.
    pub exits: Vec<u64>,
    /// Mean share of the forward run a row takes; 1 for no rows.
    pub mean_depth: f64,
}

/// Sends every row through `thresholds` (one for each ramp; a ramp without one is off): it leaves
/// at the first ramp whose score is at least the threshold.
pub fn replay(calibration: &Calibration, thresholds: &[f32]) -> Replay {
    let ramps = calibration.ramps.min(thresholds.len());
    let mut exits = vec![0_u64; calibration.ramps + 1];
    let mut disagreements = 0;
    for row in 0..calibration.rows() {
        let leaves = (0..ramps).find(|&ramp| calibration.score(row, ramp) >= thresholds[ramp]);
        exits[leaves.unwrap_or(calibration.ramps)] += 1;
        disagreements += u64::from(leaves.is_some_and(|ramp| !calibration.agrees(row, ramp)));
    }
    let rows = calibration.rows().max(1) as f64;
    let saved: f64 =
        exits.iter().zip(&calibration.depths).map(|(&n, depth)| n as f64 * (1.0 - depth)).sum();
    Replay {
        agreement: 1.0 - disagreements as f64 / rows,
        disagreements,
        exits,
        mean_depth: 1.0 - saved / rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_ramps() -> Calibration {
        let scores = vec![0.9, 0.95, 0.4, 0.8, f32::NAN, f32::NAN, 0.9, 0.1];
        Calibration::new(vec![0.25, 0.5], scores, vec![1, 2, 7, 3, 4, 4, 9, 4], vec![1, 3, 4, 4])
            .unwrap()
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
    fn a_subset_holds_the_named_rows() {
        let part = two_ramps().subset(&[3, 1]);
        assert_eq!((part.rows(), part.score(0, 1), part.score(1, 0)), (2, 0.1, 0.4));
        assert!(!part.agrees(0, 0) && part.agrees(0, 1) && part.agrees(1, 1));
    }

    #[test]
    fn unfit_records_are_refused() {
        let new = |depths: &[f64], scores: &[f32]| {
            Calibration::new(depths.to_vec(), scores.to_vec(), vec![0; 4], vec![0; 2]).unwrap_err()
        };
        let size = CalibrationError::Size { what: "scores", found: 3, expected: 4 };
        assert_eq!(new(&[0.1, 0.2], &[0.5; 3]), size);
        let depth = CalibrationError::Depth { ramp: 1, depth: 0.1 };
        assert_eq!(new(&[0.2, 0.1], &[0.5; 4]), depth);
        assert!(matches!(new(&[0.2, f64::NAN], &[0.5; 4]), CalibrationError::Depth { .. }));
        let score = CalibrationError::Score { row: 1, ramp: 0, score: 7.5 };
        assert_eq!(new(&[0.1, 0.2], &[0.5, 0.5, 7.5, 0.5]), score);
    }
}
