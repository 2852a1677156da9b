//! Bytes to numbers, one image a task.

use super::Pixels;
use crate::cpu::{CpuDevice, Shared};
use crate::{Result, RowTokens};

impl Pixels {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let (channels, image) = (self.channels, self.grid.pixels() * self.channels);
        let out = device.live(self.out, RowTokens::Each(self.grid.pixels()), channels);
        let scale = device.weights.vector(self.scale, channels)?;
        let shift = device.weights.vector(self.shift, channels)?;
        let out = Shared::new(device.arena.slice_mut("pixels out", out)?);
        let (images, bytes) = (device.rows.live(), device.rows.pixels());
        device.team.run(images, (2 * images * image) as f64, &|task, _| {
            // SAFETY: each task writes the image of its own number.
            let out = unsafe { out.part(task * image, image) };
            let pixels = bytes[task * image..][..image].chunks_exact(channels);
            for (out, pixel) in out.chunks_exact_mut(channels).zip(pixels) {
                for (channel, (out, &byte)) in out.iter_mut().zip(pixel).enumerate() {
                    *out = f32::from(byte) * scale[channel] + shift[channel];
                }
            }
        })
    }
}
