//! Micro-kernel for AVX-512: rows x panels of two vectors each, all sums in registers.

use std::arch::x86_64::{
    __m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::PANEL;
use super::tile::Operands;

/// Most rows of a tile: 28 sums, two weights and one broadcast fill the 32 registers.
pub(super) const ROWS_MAX: usize = 14;

/// `c[r][j] (+)= Σ a[r][i] * b[i][j]`, one chain over rising `i` per element.
///
/// # Safety
/// The machine has AVX-512 F, and the operands fulfil [`Operands`]'s contract for `ROWS` rows
/// and `PANELS` panels.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile<const ROWS: usize, const PANELS: usize>(operands: Operands) {
    let Operands { k, a, a_stride, b, c, c_stride, add } = operands;
    // SAFETY: the contract bounds every address below.
    unsafe {
        let mut sums = [[[_mm512_setzero_ps(); 2]; PANELS]; ROWS];
        if add {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (p, sums) in sums.iter_mut().enumerate() {
                    let from = c.add(r * c_stride + p * PANEL);
                    *sums = [_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16))];
                }
            }
        }
        for i in 0..k {
            let weights: [[__m512; 2]; PANELS] = std::array::from_fn(|p| {
                let line = b.add((p * k + i) * PANEL);
                [_mm512_loadu_ps(line), _mm512_loadu_ps(line.add(16))]
            });
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*a.add(r * a_stride + i));
                for (sums, weights) in sums.iter_mut().zip(&weights) {
                    sums[0] = _mm512_fmadd_ps(x, weights[0], sums[0]);
                    sums[1] = _mm512_fmadd_ps(x, weights[1], sums[1]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (p, sums) in sums.iter().enumerate() {
                let out = c.add(r * c_stride + p * PANEL);
                _mm512_storeu_ps(out, sums[0]);
                _mm512_storeu_ps(out.add(16), sums[1]);
            }
        }
    }
}
