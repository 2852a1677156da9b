//! Micro-kernel for AVX-512: rows x panels of two vectors each, all sums in registers.

use std::arch::x86_64::{
    __m512, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::PANEL;
use super::operands::Operands;

/// Most rows of a tile: 28 sums, two weights and one broadcast fill the 32 registers.
pub(super) const ROWS_MAX: usize = 14;

/// `c[r][j] (+)= Σ a[r][i] * b[i][j]`, one chain over rising `i` per element.
///
/// # Safety
/// The machine has AVX-512 F, and the operands fulfil [`Operands`]'s contract for `ROWS` rows
/// and `PANELS` panels.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile<const ROWS: usize, const PANELS: usize>(operands: Operands) {
    // SAFETY: this function's own contract.
    unsafe {
        if operands.is_half {
            vectors::<ROWS, PANELS, 1>(operands);
        } else {
            vectors::<ROWS, PANELS, 2>(operands);
        }
    }
}

/// The first `VECTORS` of each panel.
///
/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn vectors<const ROWS: usize, const PANELS: usize, const VECTORS: usize>(
    operands: Operands,
) {
    let Operands { k, a, a_stride, b, c, c_stride, add, .. } = operands;
    // SAFETY: the contract bounds every address below.
    unsafe {
        let mut sums = [[[_mm512_setzero_ps(); VECTORS]; PANELS]; ROWS];
        if add {
            for (r, sums) in sums.iter_mut().enumerate() {
                for (p, sums) in sums.iter_mut().enumerate() {
                    let from = c.add(r * c_stride + p * PANEL);
                    *sums = std::array::from_fn(|v| _mm512_loadu_ps(from.add(16 * v)));
                }
            }
        }
        for i in 0..k {
            let weights: [[__m512; VECTORS]; PANELS] = std::array::from_fn(|p| {
                let line = b.add((p * k + i) * PANEL);
                std::array::from_fn(|v| _mm512_loadu_ps(line.add(16 * v)))
            });
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = _mm512_set1_ps(*a.add(r * a_stride + i));
                for (sums, weights) in sums.iter_mut().zip(&weights) {
                    for (sum, &weight) in sums.iter_mut().zip(weights) {
                        *sum = _mm512_fmadd_ps(x, weight, *sum);
                    }
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (p, sums) in sums.iter().enumerate() {
                let out = c.add(r * c_stride + p * PANEL);
                for (v, &sum) in sums.iter().enumerate() {
                    _mm512_storeu_ps(out.add(16 * v), sum);
                }
            }
        }
    }
}
