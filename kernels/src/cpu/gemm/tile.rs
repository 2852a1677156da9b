//! The one narrow function under every matrix product: a few rows times a few panels.

use super::operands::Operands;
use super::{PANEL, portable};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::cpu::simd::{Isa, Simd};

/// Most rows of a tile under any instruction set.
pub(crate) const ROWS_MAX: usize = 14;

/// The left-hand side: rows of equal length at equal distances.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// From the first element of the first row on.
    pub data: &'a [f32],
    /// Number of rows.
    pub count: usize,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows `first .. first + count`.
    pub(crate) fn slice(&self, first: usize, count: usize) -> Self {
        assert!(first + count <= self.count, "invariant: rows lie in the matrix");
        Self { data: &self.data[first * self.stride..], count, ..*self }
    }

    /// The rows without their first elements.
    pub(crate) fn from(&self, first: usize) -> Self {
        Self { data: &self.data[first..], ..*self }
    }

    /// Whether every row has `k` elements in `data`.
    pub(crate) fn holds(&self, k: usize) -> bool {
        self.count == 0
            || (self.count - 1).checked_mul(self.stride).and_then(|at| at.checked_add(k))
                <= Some(self.data.len())
    }
}

/// Panels of weights back to back.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// Each `[k, PANEL]`.
    pub(crate) data: &'a [f32],
    /// Whether only the first half of each panel's outputs is wanted; the others are then left
    /// as they are, or get their sums too.
    pub(crate) is_half: bool,
}

impl<'a> Panels<'a> {
    /// All outputs are wanted.
    pub(crate) fn whole(data: &'a [f32]) -> Self {
        Self { data, is_half: false }
    }

    /// A panel of which `outputs` are wanted.
    pub(crate) fn one(data: &'a [f32], outputs: usize) -> Self {
        Self { data, is_half: outputs <= PANEL / 2 }
    }
}

/// Rows that one tile may have.
pub(crate) fn rows_max(simd: Simd) -> usize {
    match simd.isa() {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::ROWS_MAX,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::ROWS_MAX,
        _ => portable::ROWS_MAX,
    }
}

/// Panels that a tile of so many rows should have: few rows alone leave the multipliers idle
/// between two links of a chain.
pub(crate) fn panels_for(rows: usize) -> usize {
    match rows {
        0 | 1 => 4,
        2..4 => 2,
        _ => 1,
    }
}

/// `c[r][j] = Σ a[r][i] * b[i][j]`: at most [`rows_max`] rows, and panels of `k` inputs back to
/// back, [`panels_for`] of them at most. Writes `PANEL` elements a panel. With `add` the chains of
/// an earlier call go on.
pub(crate) fn tile(
    simd: Simd,
    a: Rows<'_>,
    k: usize,
    panels: Panels<'_>,
    c: &mut [f32],
    c_stride: usize,
    add: bool,
) {
    let rows = a.count;
    if k == 0 || rows == 0 {
        if !add {
            c.fill(0.0);
        }
        return;
    }
    let count = panels.data.len() / (k * PANEL);
    assert!(a.holds(k) && rows <= rows_max(simd), "invariant: the rows fit a tile");
    assert!(count <= panels_for(rows), "invariant: the panels fit a tile");
    assert!(
        c_stride >= count * PANEL && c.len() >= (rows - 1) * c_stride + count * PANEL,
        "invariant: the tile has room"
    );
    let operands = Operands {
        k,
        a: a.data.as_ptr(),
        a_stride: a.stride,
        b: panels.data.as_ptr(),
        c: c.as_mut_ptr(),
        c_stride,
        add,
        is_half: panels.is_half,
    };
    // SAFETY: the assertions above are the contract of `Operands`; `c` is borrowed alone.
    unsafe { dispatch(simd, rows, count, operands) }
}

/// Calls a micro-kernel for a number of rows and panels known only now.
macro_rules! call {
    ($kernel:ident, $rows:expr, $panels:expr, $operands:expr, [$($r:literal),*]) => {
        match ($rows, $panels) {
            (1, 1) => $kernel::tile::<1, 1>($operands),
            (1, 2) => $kernel::tile::<1, 2>($operands),
            (1, 3) => $kernel::tile::<1, 3>($operands),
            (1, 4) => $kernel::tile::<1, 4>($operands),
            (2, 1) => $kernel::tile::<2, 1>($operands),
            (2, 2) => $kernel::tile::<2, 2>($operands),
            (3, 1) => $kernel::tile::<3, 1>($operands),
            (3, 2) => $kernel::tile::<3, 2>($operands),
            $(($r, 1) => $kernel::tile::<$r, 1>($operands),)*
            _ => {}
        }
    };
}

/// # Safety
/// The operands fulfil the contract of [`Operands`] for these numbers of rows and panels.
unsafe fn dispatch(simd: Simd, rows: usize, panels: usize, operands: Operands) {
    // SAFETY: a `Simd` proves that this machine has its instruction set; the rest is this
    // function's own contract.
    unsafe {
        match simd.isa() {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                call!(avx512, rows, panels, operands, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => call!(avx2, rows, panels, operands, [4, 5, 6]),
            _ => call!(portable, rows, panels, operands, [4]),
        }
    }
}
