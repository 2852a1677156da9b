//! Convolution as a matrix product whose left-hand side is never built.
//!
//! ```text
//! task  = block x group of panels        block: whole images, or lines of one, or a part of a line
//! strip = the input lines of the block   copied once with their padding, where there is any
//! tile  = up to 14 pixels of a line x 32 outputs; one window row (ky) at a time is a strided
//!         matrix: rows `stride · inputs` apart, `kernel · inputs` long
//! ```
//!
//! Few channels make such rows short: then the windows of the block are gathered instead. Sums
//! stay in the first-level cache from the first window row to the last.

use std::ops::Range;

use super::Conv2d;
use crate::cpu::gemm::{
    self, Epilogue, PANEL, PackedMatrix, Panels, Residual, Rows, rows_max, tile,
};
use crate::cpu::{Buffer, CpuDevice, Shared, Simd};
use crate::{ArenaLayout, Error, Grid, Result, RowTokens};

/// Pixels of a block at most: their sums are 16 KiB.
const BLOCK_MAX: usize = 128;
/// Elements of a strip at most: 384 KiB, which stay in the second-level cache.
const STRIP_MAX: usize = 96 << 10;
/// Inputs of a slice at most: its weights are 32 KiB.
const SLICE_MAX: usize = 256;
/// Window rows shorter than this are gathered.
const GATHER_BELOW: usize = 32;
/// Tasks per worker to aim at, so that the last one is waited for briefly.
const TASKS_PER_WORKER: usize = 4;

impl Conv2d {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let (from, to) = (RowTokens::Each(self.from.pixels()), RowTokens::Each(self.to().pixels()));
        let x = device.live(self.x, from, self.inputs);
        let out = device.live(self.out, to, self.outputs);
        // The third view: without a residual apart from `out`, `x` again.
        let apart = self.residual.filter(|residual| residual.at != self.out.at);
        let third = apart.map_or(x, |residual| device.live(residual, to, self.outputs));
        let ([x, residual], out) = device.arena.views([x, third], out)?;
        let residual = Residual::of(self.residual, self.out, residual);
        let weight = device.weights.matrix(self.weight, self.outputs, self.k())?;
        let bias = device.weights.vector(self.bias, self.outputs)?;
        let epilogue =
            Epilogue { bias, activation: self.activation, residual, activates_last: true };
        let (simd, team, images) = (device.simd, &mut device.team, device.rows.live());
        if self.is_pointwise() {
            let rows = Rows { data: x, count: images * self.from.pixels(), stride: self.inputs };
            return gemm::multiply(simd, team, rows, weight, &epilogue, out);
        }
        let cut = Cut::new(self, images, team.threads(), weight.panels())?;
        let flops = 2.0 * (images * self.to().pixels() * self.outputs) as f64 * self.k() as f64;
        let (out, strips) = (Shared::new(out), Shared::new(&mut device.conv.0));
        let product = Product { simd, op: self, x, weight, epilogue: &epilogue, out, cut: &cut };
        team.run(cut.tasks(), flops, &|task, worker| {
            // SAFETY: one task at a time for each worker.
            let strip = unsafe { strips.part(worker * STRIP_MAX, STRIP_MAX) };
            product.task(task, strip);
        })
    }
}

/// A strip for each worker.
#[derive(Default)]
pub(crate) struct ConvScratch(Buffer);

impl ConvScratch {
    pub(crate) fn new(layout: &ArenaLayout, threads: usize) -> Result<Self> {
        let len = if layout.row_pixels > 0 { threads * STRIP_MAX } else { 0 };
        Ok(Self(Buffer::new("convolution strips", len)?))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }
}

/// How a convolution is cut into tasks.
struct Cut {
    images: usize,
    to: Grid,
    /// Images, lines and columns of a block; more than one image only with whole maps, more than
    /// one line only with whole lines. The last block of each kind may have fewer.
    block_images: usize,
    lines: usize,
    columns: usize,
    /// Panels of a group; the last may have fewer.
    group: usize,
    groups: usize,
    gathers: bool,
}

impl Cut {
    fn new(op: &Conv2d, images: usize, threads: usize, panels: usize) -> Result<Self> {
        let to = op.to();
        let gathers = op.kernel * op.inputs < GATHER_BELOW;
        let mut cut = Self {
            images,
            to,
            block_images: 1,
            lines: 1,
            columns: even(to.width, BLOCK_MAX),
            group: panels,
            groups: 1,
            gathers,
        };
        while cut.strip(op) > STRIP_MAX && cut.columns > 1 {
            cut.columns = cut.columns.div_ceil(2);
        }
        Error::check_fits("elements of a window", cut.strip(op), STRIP_MAX)?;
        if cut.columns == to.width {
            cut.grow(op);
        }
        cut.groups = (threads * TASKS_PER_WORKER).div_ceil(cut.blocks().max(1)).clamp(1, panels);
        cut.group = panels.div_ceil(cut.groups);
        cut.groups = panels.div_ceil(cut.group);
        Ok(cut)
    }

    /// Takes more lines, then more images, while sums and strip have room.
    fn grow(&mut self, op: &Conv2d) {
        let fits = |cut: &Self| cut.pixels() <= BLOCK_MAX && cut.strip(op) <= STRIP_MAX;
        while self.lines < self.to.height {
            self.lines += 1;
            if !fits(self) {
                self.lines = even(self.to.height, self.lines - 1);
                return;
            }
        }
        while self.block_images < self.images {
            self.block_images += 1;
            if !fits(self) {
                self.block_images -= 1;
                return;
            }
        }
    }

    /// Pixels of a block.
    fn pixels(&self) -> usize {
        self.block_images * self.lines * self.columns
    }

    /// Elements that a block copies at most.
    fn strip(&self, op: &Conv2d) -> usize {
        if self.gathers {
            return self.pixels() * op.k();
        }
        if op.padding == 0 {
            return 0;
        }
        let side = |outputs: usize| (outputs - 1) * op.stride + op.kernel;
        self.block_images * side(self.lines) * side(self.columns) * op.inputs
    }

    /// Blocks along images, lines and columns.
    fn grid(&self) -> [usize; 3] {
        [
            self.images.div_ceil(self.block_images),
            self.to.height.div_ceil(self.lines),
            self.to.width.div_ceil(self.columns),
        ]
    }

    fn blocks(&self) -> usize {
        self.grid().iter().product()
    }

    fn tasks(&self) -> usize {
        self.blocks() * self.groups
    }

    fn block(&self, index: usize) -> Block {
        let [_, lines, columns] = self.grid();
        let part =
            |index: usize, size: usize, end: usize| index * size..((index + 1) * size).min(end);
        Block {
            images: part(index / (lines * columns), self.block_images, self.images),
            lines: part(index / columns % lines, self.lines, self.to.height),
            columns: part(index % columns, self.columns, self.to.width),
        }
    }
}

/// The largest part of `len` when it is cut evenly into parts of at most `max`.
fn even(len: usize, max: usize) -> usize {
    len.div_ceil(len.div_ceil(max))
}

/// Output pixels of a task.
struct Block {
    images: Range<usize>,
    lines: Range<usize>,
    columns: Range<usize>,
}

impl Block {
    /// Lines of all its images, in order: image and line.
    fn all_lines(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.images.clone().flat_map(|image| self.lines.clone().map(move |line| (image, line)))
    }
}

/// Where the window rows of a block are found.
struct Source<'a> {
    data: &'a [f32],
    /// From the first window of a line to that of the next line, and of the next image.
    line: usize,
    image: usize,
    /// From a window to the next, and from a window row to the next.
    column: usize,
    window_row: usize,
    /// Window rows, and their length.
    rows: usize,
    k: usize,
}

/// A convolution under way.
struct Product<'a> {
    simd: Simd,
    op: &'a Conv2d,
    x: &'a [f32],
    weight: &'a PackedMatrix,
    epilogue: &'a Epilogue<'a>,
    out: Shared<'a>,
    cut: &'a Cut,
}

impl Product<'_> {
    fn task(&self, task: usize, strip: &mut [f32]) {
        let block = self.cut.block(task / self.cut.groups);
        let first = task % self.cut.groups * self.cut.group;
        let source = self.source(&block, strip);
        let mut sums = [0.0; BLOCK_MAX * PANEL];
        for panel in first..(first + self.cut.group).min(self.weight.panels()) {
            self.panel(&block, &source, panel, &mut sums);
            self.finish(&block, panel, &sums);
        }
    }

    /// One panel of outputs for all pixels of a block.
    fn panel(&self, block: &Block, source: &Source<'_>, panel: usize, sums: &mut [f32]) {
        let weights = self.weight.panel(panel, 1);
        for row in 0..source.rows {
            for from in (0..source.k).step_by(SLICE_MAX) {
                let inputs = from..(from + SLICE_MAX).min(source.k);
                let at = (row * source.k + from) * PANEL;
                let weights = &weights[at..][..inputs.len() * PANEL];
                let weights = Panels::one(weights, self.op.outputs - panel * PANEL);
                self.slice(block, source, (row, inputs), weights, sums);
            }
        }
    }

    /// Adds a part of a window row to the sums of all pixels of a block.
    fn slice(
        &self,
        block: &Block,
        source: &Source<'_>,
        (row, inputs): (usize, Range<usize>),
        weights: Panels<'_>,
        sums: &mut [f32],
    ) {
        let columns = block.columns.len();
        let step = even(columns, rows_max(self.simd));
        let is_first = row == 0 && inputs.start == 0;
        for (index, (image, line)) in block.all_lines().enumerate() {
            let line = (image - block.images.start) * source.image
                + (line - block.lines.start) * source.line
                + row * source.window_row
                + inputs.start;
            for column in (0..columns).step_by(step) {
                let count = step.min(columns - column);
                let data = &source.data[line + column * source.column..];
                let a = Rows { data, count, stride: source.column };
                let sums = &mut sums[(index * columns + column) * PANEL..][..count * PANEL];
                tile(self.simd, a, inputs.len(), weights, sums, PANEL, !is_first);
            }
        }
    }

    fn finish(&self, block: &Block, panel: usize, sums: &[f32]) {
        let (to, n) = (self.cut.to, self.op.outputs);
        let mut sums = sums.as_chunks::<PANEL>().0.iter();
        for (image, line) in block.all_lines() {
            for (column, sums) in block.columns.clone().zip(&mut sums) {
                let pixel = (image * to.height + line) * to.width + column;
                let columns = panel * PANEL..((panel + 1) * PANEL).min(n);
                // SAFETY: tasks share no pixel and panel, and a task finishes each pair once.
                let out = unsafe { self.out.part(pixel * n + columns.start, columns.len()) };
                self.epilogue.finish(self.simd, sums, pixel * n, columns, out);
            }
        }
    }

    fn source<'s>(&'s self, block: &Block, strip: &'s mut [f32]) -> Source<'s> {
        if self.cut.gathers {
            return self.gather(block, strip);
        }
        if self.op.padding > 0 {
            return self.pad(block, strip);
        }
        let (from, inputs, stride) = (self.op.from, self.op.inputs, self.op.stride);
        let row = from.width * inputs;
        let image = from.height * row;
        let first = block.images.start * image
            + block.lines.start * stride * row
            + block.columns.start * stride * inputs;
        let data = &self.x[first..];
        self.lines(data, row, image)
    }

    /// Window rows found in lines of pixels, `row` elements apart.
    fn lines<'s>(&self, data: &'s [f32], row: usize, image: usize) -> Source<'s> {
        let Conv2d { kernel, stride, inputs, .. } = *self.op;
        let (line, column) = (stride * row, stride * inputs);
        Source { data, line, image, column, window_row: row, rows: kernel, k: kernel * inputs }
    }

    /// Copies the input lines of a block, zeros where they leave the map.
    fn pad<'s>(&self, block: &Block, strip: &'s mut [f32]) -> Source<'s> {
        let Conv2d { kernel, stride, padding, inputs, from, .. } = *self.op;
        let side = |outputs: usize| (outputs - 1) * stride + kernel;
        let (lines, row) = (side(block.lines.len()), side(block.columns.len()) * inputs);
        let left = (block.columns.start * stride) as isize - padding as isize;
        let mut rest = &mut strip[..];
        for image in block.images.clone() {
            for line in 0..lines {
                let (out, after) = rest.split_at_mut(row);
                rest = after;
                let line = (block.lines.start * stride + line).wrapping_sub(padding);
                if line < from.height {
                    let at = (image * from.height + line) * from.width * inputs;
                    copy_line(&self.x[at..][..from.width * inputs], left, inputs, out);
                } else {
                    out.fill(0.0);
                }
            }
        }
        self.lines(strip, row, lines * row)
    }

    /// Copies every window of a block.
    fn gather<'s>(&self, block: &Block, strip: &'s mut [f32]) -> Source<'s> {
        let Conv2d { kernel, stride, padding, inputs, from, .. } = *self.op;
        let (k, row) = (self.op.k(), kernel * inputs);
        let mut windows = strip.chunks_exact_mut(k);
        for (image, line) in block.all_lines() {
            for (column, window) in block.columns.clone().zip(&mut windows) {
                let left = (column * stride) as isize - padding as isize;
                for (ky, out) in window.chunks_exact_mut(row).enumerate() {
                    let line = (line * stride + ky).wrapping_sub(padding);
                    if line < from.height {
                        let at = (image * from.height + line) * from.width * inputs;
                        copy_line(&self.x[at..][..from.width * inputs], left, inputs, out);
                    } else {
                        out.fill(0.0);
                    }
                }
            }
        }
        let line = block.columns.len() * k;
        let image = block.lines.len() * line;
        Source { data: strip, line, image, column: k, window_row: k, rows: 1, k }
    }
}

/// Pixels of a line from pixel `left` on, zeros where there are none.
fn copy_line(line: &[f32], left: isize, inputs: usize, out: &mut [f32]) {
    let before = left.min(0).unsigned_abs() * inputs;
    let before = before.min(out.len());
    let (zeros, rest) = out.split_at_mut(before);
    zeros.fill(0.0);
    let line = &line[(left.max(0) as usize * inputs).min(line.len())..];
    let count = line.len().min(rest.len());
    rest[..count].copy_from_slice(&line[..count]);
    rest[count..].fill(0.0);
}
