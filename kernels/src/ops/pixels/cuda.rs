//! A thread makes eight elements, whatever pixels and rows they belong to: all lie packed. Of
//! blocks it makes one.

use super::{Fold, Pixels};
use crate::cuda::{Arguments, CudaDevice, Kernel, Launch, parameters};
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

parameters! {
    /// `pixels.cu`
    struct BlocksParameters for PixelBlocks in blocks_signature {
        pixels: u64,
        live: u64,
        scale: u64,
        shift: u64,
        out: u64,
        height: u32,
        width: u32,
        channels: u32,
        side: u32,
        padding: u32,
        to_pixels: u32,
        to_width: u32,
        depth: u32,
    }
}

/// Elements of a thread, where blocks are not folded.
const STEP: usize = 8;
/// Elements of all blocks, and of an image, are counted in 32 bits.
const ELEMENTS_MAX: usize = i32::MAX as usize;

impl Pixels {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let row = self.to().pixels() * self.width();
        if self.fold.is_some() {
            let elements = device.layout.rows_max.saturating_mul(row);
            Error::check_fits("elements of a map", elements, ELEMENTS_MAX)?;
            Error::check_fits("bytes of an image", device.layout.row_pixels, ELEMENTS_MAX)?;
        }
        let cover = device.cover(bound)?;
        let rows = &device.reserved()?.rows;
        rows.vectors(RowTokens::Each(self.grid.pixels()))?;
        let (kernel, arguments) = match &self.fold {
            None => (Kernel::Pixels, self.arguments(device)?),
            Some(fold) => (Kernel::PixelBlocks, self.block_arguments(fold, device)?),
        };
        let step = self.fold.map_or(STEP, |fold| fold.width);
        let blocks = (cover.rows * row).div_ceil(step * kernel.threads() as usize);
        if blocks == 0 {
            return Ok(());
        }
        let grid = [blocks as u32, 1, 1];
        device.push(Launch { kernel, grid, shared_bytes: 0, arguments })
    }

    fn arguments(&self, device: &mut CudaDevice) -> Result<Arguments> {
        let (row_pixels, out) = (device.layout.row_pixels, device.value(self.out)?);
        let reserved = device.reserved()?;
        let arguments = PixelsParameters {
            pixels: reserved.rows.pixels_address()?,
            live: reserved.rows.table()?.live,
            scale: reserved.weights.vector(self.scale, self.channels)?,
            shift: reserved.weights.vector(self.shift, self.channels)?,
            out: out.at,
            row_pixels: row_pixels as u32,
            channels: self.channels as u32,
        };
        Ok(arguments.pack())
    }

    fn block_arguments(&self, fold: &Fold, device: &mut CudaDevice) -> Result<Arguments> {
        let out = device.value(self.out)?;
        let reserved = device.reserved()?;
        let arguments = BlocksParameters {
            pixels: reserved.rows.pixels_address()?,
            live: reserved.rows.table()?.live,
            scale: reserved.weights.vector(self.scale, self.channels)?,
            shift: reserved.weights.vector(self.shift, self.channels)?,
            out: out.at,
            height: self.grid.height as u32,
            width: self.grid.width as u32,
            channels: self.channels as u32,
            side: fold.side as u32,
            padding: fold.padding as u32,
            to_pixels: fold.to.pixels() as u32,
            to_width: fold.to.width as u32,
            depth: fold.width as u32,
        };
        Ok(arguments.pack())
    }
}
