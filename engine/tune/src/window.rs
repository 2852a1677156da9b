//! Rows on which thresholds are chosen: what ramps and full model said about them, and what leaving
//! costs.

use offramp::Decision;

pub use offramp::OFF;

/// What every ramp and the full model said about each of a set of rows. Kept by ramp, as replays
/// read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    depths: Vec<f64>,
    /// `[ramps, rows]`; -1 where a row never exits.
    scores: Vec<f32>,
    /// `[ramps, rows]`.
    agrees: Vec<bool>,
    rows: usize,
}

/// Why rows cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WindowError {
    /// Scores, labels and final labels do not describe the same rows.
    #[error("sizes disagree: {what} holds {found} values, expected {expected}")]
    Size {
        /// "scores" or "labels".
        what: &'static str,
        /// Values it holds.
        found: usize,
        /// Rows, or rows times ramps.
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

impl Window {
    /// Rows seen at `depths.len()` ramps, in the order a row meets them.
    ///
    /// `depths`: what leaving at each ramp costs, as a share of what going to the end costs, with
    /// the ramps on the way if they count. `scores` and `labels`: `[rows, ramps]`, row-major; a
    /// NaN score never exits. `final_labels`: `[rows]`, the full model's.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn new(
        depths: Vec<f64>,
        scores: &[f32],
        labels: &[u32],
        final_labels: &[u32],
    ) -> Result<Self, WindowError> {
        Self::deciding(Decision::Class, depths, scores, labels, final_labels)
    }

    /// As [`new`](Self::new), where `labels` are words of any decision.
    ///
    /// # Errors
    /// See [`WindowError`].
    pub fn deciding(
        decision: Decision,
        depths: Vec<f64>,
        scores: &[f32],
        labels: &[u32],
        final_labels: &[u32],
    ) -> Result<Self, WindowError> {
        let (rows, ramps) = (final_labels.len(), depths.len());
        check_size("scores", scores.len(), rows * ramps)?;
        check_size("labels", labels.len(), rows * ramps)?;
        check_depths(&depths)?;
        if let Some(at) = scores.iter().position(|s| *s < 0.0 || *s >= OFF) {
            let (row, ramp) = (at / ramps, at % ramps);
            return Err(WindowError::Score { row, ramp, score: scores[at] });
        }
        let places = || (0..ramps).flat_map(|ramp| (0..rows).map(move |row| (row, ramp)));
        let score = |(row, ramp)| {
            let score: f32 = scores[row * ramps + ramp];
            if score.is_nan() { NEVER } else { score }
        };
        let agrees = |(row, ramp)| decision.agree(labels[row * ramps + ramp], final_labels[row]);
        Ok(Self {
            scores: places().map(score).collect(),
            agrees: places().map(agrees).collect(),
            rows,
            depths,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of ramps.
    pub fn ramps(&self) -> usize {
        self.depths.len()
    }

    /// What leaving at `ramp` costs, as a share of going to the end.
    pub fn depth(&self, ramp: usize) -> f64 {
        self.depths[ramp]
    }

    /// By row; below every threshold where the row never exits.
    pub fn scores(&self, ramp: usize) -> &[f32] {
        &self.scores[ramp * self.rows()..][..self.rows()]
    }

    /// By row: whether `ramp` gives it the full model's answer.
    pub fn agrees(&self, ramp: usize) -> &[bool] {
        &self.agrees[ramp * self.rows()..][..self.rows()]
    }

    /// The same rows, none of which exits with a score below `floor`.
    pub fn above(&self, floor: f32) -> Self {
        let kept = |&score: &f32| if score >= floor { score } else { NEVER };
        Self { scores: self.scores.iter().map(kept).collect(), ..self.clone() }
    }

    /// The same ramps over `rows` only.
    pub fn subset(&self, rows: &[u32]) -> Self {
        fn chosen<T: Copy>(rows: &[u32], column: &[T]) -> impl Iterator<Item = T> {
            rows.iter().map(|&row| column[row as usize])
        }
        let ramps = 0..self.ramps();
        Self {
            depths: self.depths.clone(),
            scores: ramps.clone().flat_map(|ramp| chosen(rows, self.scores(ramp))).collect(),
            agrees: ramps.flat_map(|ramp| chosen(rows, self.agrees(ramp))).collect(),
            rows: rows.len(),
        }
    }
}

/// The score of a row that never exits.
const NEVER: f32 = -1.0;

fn check_size(what: &'static str, found: usize, expected: usize) -> Result<(), WindowError> {
    (found == expected).then_some(()).ok_or(WindowError::Size { what, found, expected })
}

fn check_depths(depths: &[f64]) -> Result<(), WindowError> {
    let mut least = 0.0;
    for (ramp, &depth) in depths.iter().enumerate() {
        if !(least..=1.0).contains(&depth) {
            return Err(WindowError::Depth { ramp, depth });
        }
        least = depth;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_holds_the_named_rows() {
        let scores = [0.9, 0.95, 0.4, 0.8, f32::NAN, f32::NAN, 0.9, 0.1];
        let labels = [1, 2, 7, 3, 4, 4, 9, 4];
        let window = Window::new(vec![0.25, 0.5], &scores, &labels, &[1, 3, 4, 4]).unwrap();
        let part = window.subset(&[3, 1]);
        assert_eq!(part.rows(), 2);
        assert_eq!((part.scores(0), part.scores(1)), (&[0.9, 0.4][..], &[0.1, 0.8][..]));
        assert_eq!((part.agrees(0), part.agrees(1)), (&[false, false][..], &[true, true][..]));
    }

    #[test]
    fn unfit_rows_are_refused() {
        let new = |depths: &[f64], scores: &[f32]| {
            Window::new(depths.to_vec(), scores, &[0; 4], &[0; 2]).unwrap_err()
        };
        let size = WindowError::Size { what: "scores", found: 3, expected: 4 };
        assert_eq!(new(&[0.1, 0.2], &[0.5; 3]), size);
        let depth = WindowError::Depth { ramp: 1, depth: 0.1 };
        assert_eq!(new(&[0.2, 0.1], &[0.5; 4]), depth);
        assert!(matches!(new(&[0.2, f64::NAN], &[0.5; 4]), WindowError::Depth { .. }));
        let score = WindowError::Score { row: 1, ramp: 0, score: 7.5 };
        assert_eq!(new(&[0.1, 0.2], &[0.5, 0.5, 7.5, 0.5]), score);
    }
}
