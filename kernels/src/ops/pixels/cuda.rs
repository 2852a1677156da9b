//! A thread makes eight elements, whatever pixels and rows they belong to: all lie packed.

use super::Pixels;
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{Error, LiveBound, Result, RowTokens};

parameters! {
    /// `pixels.cu`
    struct PixelsParameters for Pixels in pixels_signature {
        pixels: u64,
        live: u64,
        scale: u64,
        shift: u64,
        out: u64,
        row_pixels: u32,
        channels: u32,
    }
}

/// Elements of a thread.
const STEP: usize = 8;

impl Pixels {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let row_pixels = device.layout.row_pixels;
        let (out, cover) = (device.value(self.out)?, device.cover(bound)?);
        let reserved = device.reserved()?;
        let (weights, rows) = (&reserved.weights, &reserved.rows);
        rows.vectors(RowTokens::Each(self.grid.pixels()))?;
        if !rows.are_whole() {
            return Err(Error::mismatch("pixels", "all rows of the pass", "rows that left"));
        }
        let arguments = PixelsParameters {
            pixels: rows.input_address(),
            live: rows.table().live,
            scale: weights.vector(self.scale, self.channels)?,
            shift: weights.vector(self.shift, self.channels)?,
            out: out.at,
            row_pixels: row_pixels as u32,
            channels: self.channels as u32,
        };
        let kernel = Kernel::Pixels;
        let elements = cover.rows * row_pixels;
        let blocks = elements.div_ceil(STEP * kernel.threads() as usize);
        if blocks == 0 {
            return Ok(());
        }
        let grid = [blocks as u32, 1, 1];
        device.push(Launch { kernel, grid, shared_bytes: 0, arguments: arguments.pack() })
    }
}
