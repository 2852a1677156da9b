//! Matrix product: rows of activations times weights packed once.
//!
//! ```text
//! task   = row block x group of panels      claimed by the workers of the team
//! tile   = up to 14 rows x 32 outputs       sums in registers over all of k, then the epilogue
//! ```
//!
//! Every output is one chain of fused multiply-adds over rising `k`, whoever computes it and
//! whatever stands in the rows beside it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod epilogue;
mod pack;
mod portable;
mod tile;

pub use epilogue::{Epilogue, Residual};
pub use pack::{PANEL, PackedMatrix};
pub use tile::Rows;

pub(crate) use pack::{check_rows, interleave};
pub(crate) use tile::{PANELS_MAX, ROWS_MAX, panels_for, rows_max, tile};

use super::arena::Shared;
use super::simd::Simd;
use super::team::Team;
use crate::{Error, Result};

/// Elements of a row block: it stays in the second-level cache while the panels go by.
const BLOCK_ELEMENTS: usize = 96 * 1024;
/// Tasks per worker to aim at, so that the last one is waited for briefly.
const TASKS_PER_WORKER: usize = 4;

/// `out[t] = act(a[t] · Wᵀ + bias) + residual[t]`, `out` row-major without gaps.
///
/// # Errors
/// [`Error::Mismatch`] where the sizes contradict each other, [`Error::Device`] after a panic.
pub fn multiply(
    simd: Simd,
    team: &mut Team,
    a: Rows<'_>,
    weight: &PackedMatrix,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) -> Result<()> {
    check(a, weight, epilogue, out)?;
    if a.count == 0 || weight.n() == 0 {
        return Ok(());
    }
    let grid = Grid::new(simd, a.count, weight, team.threads());
    let flops = 2.0 * (a.count * weight.n()) as f64 * weight.k() as f64;
    let product = Product { simd, a, weight, epilogue, out: Shared::new(out) };
    team.run(grid.tasks(), flops, &|task, _| product.block(&grid, task))
}

fn check(a: Rows<'_>, weight: &PackedMatrix, epilogue: &Epilogue<'_>, out: &[f32]) -> Result<()> {
    let (rows, n) = (a.count, weight.n());
    if !a.holds(weight.k()) {
        return Err(Error::mismatch("product", format_args!("{rows} rows"), a.data.len()));
    }
    if epilogue.bias.len() != n {
        return Err(Error::mismatch("bias", n, epilogue.bias.len()));
    }
    let smallest = match epilogue.residual {
        Residual::From(residual) => residual.len().min(out.len()),
        _ => out.len(),
    };
    if rows.checked_mul(n).is_none_or(|len| len > smallest) {
        return Err(Error::mismatch("product", format_args!("{rows} x {n} outputs"), smallest));
    }
    Ok(())
}

/// How a product is cut into tasks.
struct Grid {
    rows: usize,
    /// Rows of a block; the last may have fewer.
    block: usize,
    /// Panels of a group; the last may have fewer.
    group: usize,
    groups: usize,
    /// Rows of a tile.
    tile: usize,
}

impl Grid {
    fn new(simd: Simd, rows: usize, weight: &PackedMatrix, threads: usize) -> Self {
        let tile_max = rows_max(simd);
        let block_max = (BLOCK_ELEMENTS / weight.k().max(1)).max(tile_max);
        let blocks = rows.div_ceil(block_max);
        let block = rows.div_ceil(blocks);
        let panels = weight.panels();
        let groups = (threads * TASKS_PER_WORKER).div_ceil(blocks).clamp(1, panels);
        let group = panels.div_ceil(groups).next_multiple_of(panels_for(rows.min(tile_max)));
        // Tiles of equal height: 16 rows are better cut 8 + 8 than 14 + 2.
        let tile = block.div_ceil(block.div_ceil(tile_max));
        Self { rows, block, group, groups: panels.div_ceil(group), tile }
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.block) * self.groups
    }
}

/// A product under way.
struct Product<'a> {
    simd: Simd,
    a: Rows<'a>,
    weight: &'a PackedMatrix,
    epilogue: &'a Epilogue<'a>,
    out: Shared<'a>,
}

impl Product<'_> {
    /// One task. Blocks share no output.
    fn block(&self, grid: &Grid, task: usize) {
        let row = task / grid.groups * grid.block;
        let row_end = (row + grid.block).min(self.a.count);
        let panel = task % grid.groups * grid.group;
        let panel_end = (panel + grid.group).min(self.weight.panels());
        let step = panels_for((row_end - row).min(grid.tile));
        for panel in (panel..panel_end).step_by(step) {
            let panels = step.min(panel_end - panel);
            for row in (row..row_end).step_by(grid.tile) {
                self.tile(row, grid.tile.min(row_end - row), panel, panels);
            }
        }
    }

    fn tile(&self, row: usize, rows: usize, panel: usize, panels: usize) {
        let mut sums = [0.0; SUMS_MAX];
        let stride = panels * PANEL;
        let weights = self.weight.panel(panel, panels);
        tile(self.simd, self.a.slice(row, rows), self.weight.k(), weights, &mut sums, stride);
        for (i, sums) in sums.as_chunks::<PANEL>().0[..rows * panels].iter().enumerate() {
            self.finish(row + i / panels, panel + i % panels, sums);
        }
    }

    /// Writes the outputs of one panel for one row.
    fn finish(&self, row: usize, panel: usize, sums: &[f32; PANEL]) {
        let n = self.weight.n();
        let column = panel * PANEL;
        let count = PANEL.min(n - column);
        // SAFETY: blocks share no row and panel, and a block finishes each of its pairs once.
        let out = unsafe { self.out.part(row * n + column, count) };
        let add = match self.epilogue.residual {
            Residual::None => false,
            Residual::InPlace => true,
            Residual::From(residual) => {
                out.copy_from_slice(&residual[row * n + column..][..count]);
                true
            }
        };
        let bias = &self.epilogue.bias[column..][..count];
        epilogue::finish(self.simd, sums, bias, self.epilogue.activation, add, out);
    }
}

/// Sums of the largest tile: many rows by one panel, or few rows by several.
const SUMS_MAX: usize = PANEL * if ROWS_MAX > 2 * PANELS_MAX { ROWS_MAX } else { 2 * PANELS_MAX };
