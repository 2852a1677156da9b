//! Micro-kernel for AVX2 with FMA: the two halves of a panel one after the other.

use std::arch::x86_64::{
    __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
};

use super::PANEL;
use super::operands::Operands;

/// Most rows of a tile: 12 sums, two weights and one broadcast of 16 registers.
pub(super) const ROWS_MAX: usize = 6;

/// `c[r][j] (+)= Σ a[r][i] * b[i][j]`, one chain over rising `i` per element.
///
/// # Safety
/// The machine has AVX2 and FMA, and the operands fulfil [`Operands`]'s contract for `ROWS` rows
/// and `PANELS` panels.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile<const ROWS: usize, const PANELS: usize>(operands: Operands) {
    let Operands { k, a, a_stride, b, c, c_stride, add, is_half } = operands;
    let halves: &[usize] = if is_half { &[0] } else { &[0, 16] };
    for p in 0..PANELS {
        for &half in halves {
            // SAFETY: the contract bounds every address below.
            unsafe {
                let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
                if add {
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let from = c.add(r * c_stride + p * PANEL + half);
                        *sums = [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))];
                    }
                }
                for i in 0..k {
                    let line = b.add((p * k + i) * PANEL + half);
                    let weights: [__m256; 2] =
                        [_mm256_loadu_ps(line), _mm256_loadu_ps(line.add(8))];
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let x = _mm256_set1_ps(*a.add(r * a_stride + i));
                        sums[0] = _mm256_fmadd_ps(x, weights[0], sums[0]);
                        sums[1] = _mm256_fmadd_ps(x, weights[1], sums[1]);
                    }
                }
                for (r, sums) in sums.iter().enumerate() {
                    let out = c.add(r * c_stride + p * PANEL + half);
                    _mm256_storeu_ps(out, sums[0]);
                    _mm256_storeu_ps(out.add(8), sums[1]);
                }
            }
        }
    }
}
