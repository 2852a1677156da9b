//! Bytes to numbers, on the caller alone.

use super::Pixels;
use crate::cpu::CpuDevice;
use crate::{Result, RowTokens};

impl Pixels {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let tokens = RowTokens::Each(self.grid.pixels());
        let out = device.live(self.out, tokens, self.channels);
        let scale = device.weights.vector(self.scale, self.channels)?;
        let shift = device.weights.vector(self.shift, self.channels)?;
        let out = device.arena.slice_mut("pixels out", out)?;
        let pixels = device.rows.pixels().chunks_exact(self.channels);
        for (out, pixel) in out.chunks_exact_mut(self.channels).zip(pixels) {
            for (channel, (out, &byte)) in out.iter_mut().zip(pixel).enumerate() {
                *out = f32::from(byte).mul_add(scale[channel], shift[channel]);
            }
        }
        Ok(())
    }
}
