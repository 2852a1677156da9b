//! Right-hand sides in the order the micro-kernels read them.
//!
//! ```text
//! W [n, k]                     panel p = outputs 32p .. 32p+31
//! ┌───────────── k ──┐         ┌ 32 weights of input 0, 32 of input 1, ... 32 of input k-1 ┐
//! │ row of output 0  │         64-byte aligned, zeros where n ends inside the panel
//! ```

use crate::cpu::arena::Buffer;
use crate::{Result, WeightForm};

/// Outputs of a panel.
pub const PANEL: usize = 32;

/// Inputs packed at a time, so that the part of a panel being written stays in the first cache.
const BLOCK: usize = 32;

/// A matrix `[n, k]` in panels of 32 outputs.
pub struct PackedMatrix {
    n: usize,
    k: usize,
    panels: Buffer,
}

impl PackedMatrix {
    /// Sets memory aside for a matrix; all weights are 0.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] where there is no room.
    pub fn new(n: usize, k: usize) -> Result<Self> {
        let len = n.div_ceil(PANEL).saturating_mul(PANEL).saturating_mul(k);
        Ok(Self { n, k, panels: Buffer::new("weights", len)? })
    }

    /// Outputs.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Inputs.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Stores whole rows from `first_row` on: `values` is row-major.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] where they are not whole rows within the matrix.
    pub fn load(&mut self, first_row: usize, values: &[f32]) -> Result<()> {
        let rows =
            WeightForm::Matrix { n: self.n, k: self.k }.check_rows(first_row, values.len())?;
        let mut done = 0;
        while done < rows {
            let row = first_row + done;
            let within = row % PANEL;
            let count = (PANEL - within).min(rows - done);
            let panel_len = PANEL * self.k;
            let at = row / PANEL * panel_len;
            let source = &values[done * self.k..][..count * self.k];
            interleave(source, self.k, count, &mut self.panels[at..][..panel_len], within);
            done += count;
        }
        Ok(())
    }

    /// Number of panels.
    pub(crate) fn panels(&self) -> usize {
        self.n.div_ceil(PANEL)
    }

    /// Panels `first .. first + count`, back to back.
    pub(crate) fn panel(&self, first: usize, count: usize) -> &[f32] {
        let len = PANEL * self.k;
        &self.panels[first * len..][..count * len]
    }

    /// Bytes set aside.
    pub(crate) fn bytes(&self) -> usize {
        self.panels.bytes()
    }
}

/// Writes `count` rows, `stride` apart in `source`, as columns `within ..` of a panel.
pub(crate) fn interleave(
    source: &[f32],
    stride: usize,
    count: usize,
    panel: &mut [f32],
    within: usize,
) {
    for (block, lines) in panel.chunks_mut(BLOCK * PANEL).enumerate() {
        for row in 0..count {
            let from = &source[row * stride + block * BLOCK..][..lines.len() / PANEL];
            for (line, &value) in lines.chunks_exact_mut(PANEL).zip(from) {
                line[within + row] = value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_land_in_their_columns_however_they_come() {
        let (n, k) = (70, 37);
        let values: Vec<f32> = (0..n * k).map(|i| i as f32).collect();
        let mut matrix = PackedMatrix::new(n, k).unwrap();
        for (first, last) in [(0, 5), (5, 40), (40, 70)] {
            matrix.load(first, &values[first * k..last * k]).unwrap();
        }
        for row in 0..96 {
            for i in 0..k {
                let expected = if row < n { values[row * k + i] } else { 0.0 };
                assert_eq!(matrix.panel(row / PANEL, 1)[i * PANEL + row % PANEL], expected);
            }
        }
    }

    #[test]
    fn partial_and_surplus_rows_are_refused() {
        let mut matrix = PackedMatrix::new(4, 3).unwrap();
        assert!(matrix.load(0, &[0.0; 4]).is_err());
        assert!(matrix.load(3, &[0.0; 6]).is_err());
        assert!(matrix.load(usize::MAX, &[0.0; 3]).is_err());
        assert!(matrix.load(4, &[]).is_ok());
    }
}
