//! Micro-kernel in plain Rust, for the compiler to vectorise as far as it can.

use super::PANEL;
use super::operands::Operands;

/// Most rows of a tile.
pub(super) const ROWS_MAX: usize = 4;

/// `c[r][j] (+)= Σ a[r][i] * b[i][j]`, one chain over rising `i` per element.
///
/// # Safety
/// The operands fulfil [`Operands`]'s contract for `ROWS` rows and `PANELS` panels.
pub(super) unsafe fn tile<const ROWS: usize, const PANELS: usize>(operands: Operands) {
    let Operands { k, a, a_stride, b, c, c_stride, add, .. } = operands;
    for (r, p) in (0..ROWS).flat_map(|r| (0..PANELS).map(move |p| (r, p))) {
        // SAFETY: the contract bounds both slices, which share no element with `c`.
        let (x, panel) = unsafe {
            (
                std::slice::from_raw_parts(a.add(r * a_stride), k),
                std::slice::from_raw_parts(b.add(p * k * PANEL), k * PANEL),
            )
        };
        // SAFETY: the contract bounds it, and nothing else refers to it.
        let out = unsafe { std::slice::from_raw_parts_mut(c.add(r * c_stride + p * PANEL), PANEL) };
        let mut sums = [0.0_f32; PANEL];
        if add {
            sums.copy_from_slice(out);
        }
        for (&x, weights) in x.iter().zip(panel.as_chunks::<PANEL>().0) {
            for (sum, &weight) in sums.iter_mut().zip(weights) {
                *sum = multiply_add(x, weight, *sum);
            }
        }
        out.copy_from_slice(&sums);
    }
}

/// Fused where that is one instruction; a library call elsewhere would cost fifty times more.
#[inline(always)]
fn multiply_add(x: f32, y: f32, sum: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        x.mul_add(y, sum)
    } else {
        x * y + sum
    }
}
