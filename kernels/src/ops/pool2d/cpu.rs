//! Windows, one output pixel at a time.

use std::ops::Range;

use super::{Pool2d, Window};
use crate::cpu::{CpuDevice, Shared};
use crate::{Result, RowTokens};

impl Pool2d {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let (from, to) = (self.from.pixels(), self.to().pixels());
        let x = device.live(self.x, RowTokens::Each(from), self.width);
        let out = device.live(self.out, RowTokens::Each(to), self.width);
        let ([x], out) = device.arena.views([x], out)?;
        let (from, to) = ((from * self.width).max(1), (to * self.width).max(1));
        let (rows, width, out) = (device.rows.live(), self.to().width, Shared::new(out));
        device.team.run(rows, (rows * from) as f64, &|row, _| {
            // SAFETY: each task writes the row of its own number.
            let out = unsafe { out.part(row * to, to) };
            let x = &x[row * from..][..from];
            for (pixel, out) in out.chunks_exact_mut(self.width.max(1)).enumerate() {
                self.pixel(x, pixel / width, pixel % width, out);
            }
        })
    }

    fn pixel(&self, x: &[f32], row: usize, column: usize, out: &mut [f32]) {
        let (rows, columns) = (
            self.side(row, self.from.height, self.to().height),
            self.side(column, self.from.width, self.to().width),
        );
        let count = (rows.len() * columns.len()) as f32;
        let is_max = matches!(self.window, Window::Max { .. });
        out.fill(if is_max { f32::NEG_INFINITY } else { 0.0 });
        for at in rows.flat_map(|row| columns.clone().map(move |column| (row, column))) {
            let pixel = &x[(at.0 * self.from.width + at.1) * self.width..][..self.width];
            for (out, &value) in out.iter_mut().zip(pixel) {
                if !is_max {
                    *out += value;
                } else if value > *out || value.is_nan() {
                    *out = value;
                }
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
