//! Bytes to numbers, one image a task.

use super::{Fold, Pixels};
use crate::cpu::{CpuDevice, Shared};
use crate::{Result, RowTokens};

impl Pixels {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let (channels, image) = (self.channels, self.grid.pixels() * self.channels);
        let written = self.to().pixels() * self.width();
        let out = device.live(self.out, RowTokens::Each(self.to().pixels()), self.width());
        let scale = device.weights.vector(self.scale, channels)?;
        let shift = device.weights.vector(self.shift, channels)?;
        let out = Shared::new(device.arena.slice_mut("pixels out", out)?);
        let (images, bytes) = (device.rows.live(), device.rows.pixels()?);
        device.team.run(images, (2 * images * image) as f64, &|task, _| {
            // SAFETY: each task writes the image of its own number.
            let out = unsafe { out.part(task * written, written) };
            let bytes = &bytes[task * image..][..image];
            match &self.fold {
                None => convert(bytes, scale, shift, out),
                Some(fold) => self.write_blocks(fold, bytes, scale, shift, out),
            }
        })
    }

    /// A line of a block at a time: its pixels lie side by side in the image.
    fn write_blocks(
        &self,
        fold: &Fold,
        bytes: &[u8],
        scale: &[f32],
        shift: &[f32],
        out: &mut [f32],
    ) {
        let (side, channels) = (fold.side, self.channels);
        let lines = bytes.chunks_exact(self.grid.width * channels);
        out.fill(0.0);
        for (line, bytes) in lines.enumerate().map(|(at, bytes)| (at + fold.padding, bytes)) {
            if line / side >= fold.to.height {
                break;
            }
            let blocks = &mut out[line / side * fold.to.width * fold.width..];
            for (column, pixel) in bytes.chunks_exact(channels).enumerate() {
                let column = column + fold.padding;
                if column / side >= fold.to.width {
                    break;
                }
                let at = (line % side * side + column % side) * channels;
                let block = &mut blocks[column / side * fold.width + at..];
                convert(pixel, scale, shift, &mut block[..channels]);
            }
        }
    }
}

/// Whole pixels.
fn convert(bytes: &[u8], scale: &[f32], shift: &[f32], out: &mut [f32]) {
    let channels = scale.len();
    for (out, pixel) in out.chunks_exact_mut(channels).zip(bytes.chunks_exact(channels)) {
        for (channel, (out, &byte)) in out.iter_mut().zip(pixel).enumerate() {
            *out = f32::from(byte) * scale[channel] + shift[channel];
        }
    }
}
