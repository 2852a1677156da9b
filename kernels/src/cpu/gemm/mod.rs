//! Matrix product: rows of activations times weights packed once.
//!
//! ```text
//! task   = row block x group of panels      claimed by the workers of the team
//! slice  = the block's inputs k .. k + 768  stays in the second-level cache for all panels
//! tile   = up to 14 rows x 32 outputs       sums in registers; after the last slice the epilogue
//! ```
//!
//! Every output is one chain of fused multiply-adds over rising `k`, whoever computes it and
//! whatever stands in the rows beside it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod epilogue;
mod operands;
mod pack;
mod portable;
mod tile;

pub use epilogue::{Epilogue, Residual};
pub use pack::{PANEL, PackedMatrix};
pub use tile::Rows;

pub(crate) use pack::interleave;
pub(crate) use tile::{Panels, ROWS_MAX, panels_for, rows_max, tile};

use std::ops::Range;

use super::arena::Shared;
use super::simd::Simd;
use super::team::Team;
use crate::{Error, Result};

/// Rows of a block and inputs of a slice at most: 128 x 768 inputs are 384 KiB, which stay in the
/// second-level cache while the panels go by.
const BLOCK_MAX: usize = 128;
const SLICE_MAX: usize = 768;
/// Elements after which addresses fall into the same set of the first-level cache.
const PAGE_ELEMENTS: usize = 1024;
/// Panels of a group at most: sums of a block wait on the worker's stack between slices.
const GROUP_MAX: usize = 4;
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
    let grid = Grid::new(simd, a, weight, team.threads());
    let flops = 2.0 * (a.count * weight.n()) as f64 * weight.k() as f64;
    let product = Product { simd, a, weight, epilogue, out: Shared::new(out) };
    team.run(grid.tasks(), flops, &|task, _| {
        if grid.block <= ROWS_MAX {
            product.block::<{ ROWS_MAX * GROUP_MAX * PANEL }>(&grid, task);
        } else {
            product.block::<{ BLOCK_MAX * GROUP_MAX * PANEL }>(&grid, task);
        }
    })
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
    /// Rows and panels of a tile.
    tile: usize,
    step: usize,
    /// Inputs of a slice; the last may have fewer.
    slice: usize,
}

impl Grid {
    fn new(simd: Simd, a: Rows<'_>, weight: &PackedMatrix, threads: usize) -> Self {
        let rows = a.count;
        let tile_max = rows_max(simd).min(rows_apart(a.stride));
        let blocks = rows.div_ceil(BLOCK_MAX);
        let block = rows.div_ceil(blocks);
        // Tiles of equal height: 16 rows are better cut 8 + 8 than 14 + 2.
        let tile = block.div_ceil(block.div_ceil(tile_max));
        let (step, panels) = (panels_for(tile), weight.panels());
        let groups = (threads * TASKS_PER_WORKER).div_ceil(blocks).clamp(1, panels);
        let group = panels.div_ceil(groups).min(GROUP_MAX).next_multiple_of(step);
        // Slices are for many rows: a tile of few reads several panels, whole.
        let slices = if step == 1 { weight.k().div_ceil(SLICE_MAX).max(1) } else { 1 };
        let slice = weight.k().div_ceil(slices).max(1);
        Self { rows, block, group, groups: panels.div_ceil(group), tile, step, slice }
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.block) * self.groups
    }
}

/// Rows that the first-level cache keeps apart: at a stride of whole pages all of them fall into
/// one set of 8 lines.
fn rows_apart(stride: usize) -> usize {
    if stride.is_multiple_of(PAGE_ELEMENTS) { 7 } else { usize::MAX }
}

/// The outputs of a task.
struct Block {
    rows: Range<usize>,
    panels: Range<usize>,
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
    /// One task, with room for `SUMS` sums. Blocks share no output.
    fn block<const SUMS: usize>(&self, grid: &Grid, task: usize) {
        let row = task / grid.groups * grid.block;
        let panel = task % grid.groups * grid.group;
        let block = Block {
            rows: row..(row + grid.block).min(self.a.count),
            panels: panel..(panel + grid.group).min(self.weight.panels()),
        };
        let mut sums = [0.0; SUMS];
        for first in (0..self.weight.k().max(1)).step_by(grid.slice) {
            let inputs = first..(first + grid.slice).min(self.weight.k());
            self.slice(grid, &block, inputs, &mut sums);
        }
    }

    /// Adds some inputs to all sums of a block, and finishes them after the last.
    fn slice(&self, grid: &Grid, block: &Block, inputs: Range<usize>, sums: &mut [f32]) {
        let stride = grid.step * PANEL;
        let mut rest = sums;
        for panel in block.panels.clone().step_by(grid.step) {
            let panels = panel..block.panels.end.min(panel + grid.step);
            for row in block.rows.clone().step_by(grid.tile) {
                let rows = row..block.rows.end.min(row + grid.tile);
                let (sums, after) = rest.split_at_mut(rows.len() * stride);
                rest = after;
                self.tile(rows.clone(), panels.clone(), inputs.clone(), sums, stride);
                if inputs.end == self.weight.k() {
                    self.finish(rows, panels.clone(), sums, stride);
                }
            }
        }
    }

    fn tile(
        &self,
        rows: Range<usize>,
        panels: Range<usize>,
        inputs: Range<usize>,
        sums: &mut [f32],
        stride: usize,
    ) {
        let a = self.a.slice(rows.start, rows.len()).from(inputs.start);
        let weights = self.weight.panel(panels.start, panels.len());
        // A slice is a part of one panel; whole panels come several at once.
        let weights = &weights[inputs.start * PANEL..][..panels.len() * inputs.len() * PANEL];
        let outputs = self.weight.n() - panels.start * PANEL;
        let weights = Panels::one(weights, outputs);
        tile(self.simd, a, inputs.len(), weights, sums, stride, inputs.start > 0);
    }

    fn finish(&self, rows: Range<usize>, panels: Range<usize>, sums: &[f32], stride: usize) {
        for (row, sums) in rows.zip(sums.chunks_exact(stride)) {
            for (panel, sums) in panels.clone().zip(sums.as_chunks::<PANEL>().0) {
                self.finish_panel(row, panel, sums);
            }
        }
    }

    /// Writes the outputs of one panel for one row.
    fn finish_panel(&self, row: usize, panel: usize, sums: &[f32; PANEL]) {
        let n = self.weight.n();
        let column = panel * PANEL;
        let count = PANEL.min(n - column);
        // SAFETY: blocks share no row and panel, and a block finishes each of its pairs once.
        let out = unsafe { self.out.part(row * n + column, count) };
        self.epilogue.finish(self.simd, sums, row * n, column..column + count, out);
    }
}
