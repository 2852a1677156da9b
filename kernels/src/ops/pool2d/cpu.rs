//! Windows, one line of output pixels at a time.

use std::ops::Range;

use super::{Pool2d, Window};
use crate::cpu::simd::vectorised;
use crate::cpu::{CpuDevice, Shared, Simd};
use crate::{Result, RowTokens};

impl Pool2d {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let (from, to) = (self.from.pixels(), self.to().pixels());
        let x = device.live(self.x, RowTokens::Each(from), self.width);
        let out = device.live(self.out, RowTokens::Each(to), self.width);
        let ([x], out) = device.arena.views([x], out)?;
        let (rows, lines, image) = (device.rows.live(), self.to().height, from * self.width);
        let (simd, out, line_len) = (device.simd, Shared::new(out), self.to().width * self.width);
        device.team.run(rows * lines, (rows * image) as f64, &|task, _| {
            // SAFETY: each task writes the line of its own number.
            let out = unsafe { out.part(task * line_len, line_len) };
            let x = &x[task / lines * image..][..image];
            for (column, out) in out.chunks_exact_mut(self.width.max(1)).enumerate() {
                self.pixel(simd, x, (task % lines, column), out);
            }
        })
    }

    fn pixel(&self, simd: Simd, x: &[f32], (row, column): (usize, usize), out: &mut [f32]) {
        let rows = self.side(row, self.from.height, self.to().height);
        let columns = self.side(column, self.from.width, self.to().width);
        let count = (rows.len() * columns.len()) as f32;
        let is_max = matches!(self.window, Window::Max { .. });
        out.fill(if is_max { f32::NEG_INFINITY } else { 0.0 });
        for at in rows.flat_map(|row| columns.clone().map(move |column| (row, column))) {
            let pixel = &x[(at.0 * self.from.width + at.1) * self.width..][..self.width];
            if is_max {
                largest(simd, pixel, out);
            } else {
                add(simd, pixel, out);
            }
        }
        if !is_max {
            out.iter_mut().for_each(|out| *out /= count);
        }
    }

    /// Pixels of window `index` along a side of `from`, those outside taken off.
    fn side(&self, index: usize, from: usize, to: usize) -> Range<usize> {
        match self.window {
            Window::Max { kernel, stride, padding } => {
                let start = index * stride;
                start.saturating_sub(padding)..(start + kernel).saturating_sub(padding).min(from)
            }
            Window::MeanTo(_) => index * from / to..((index + 1) * from).div_ceil(to),
        }
    }
}

vectorised! {
    /// `out = max(out, x)`; NaN wins.
    fn largest(x: &[f32], out: &mut [f32]) = largest_body
}

#[inline(always)]
fn largest_body(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        // Without a branch, so that it vectorises.
        *out = if (x > *out) | x.is_nan() { x } else { *out };
    }
}

vectorised! {
    /// `out = out + x`
    fn add(x: &[f32], out: &mut [f32]) = add_body
}

#[inline(always)]
fn add_body(x: &[f32], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out += x;
    }
}
