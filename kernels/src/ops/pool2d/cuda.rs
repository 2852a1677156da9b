//! A thread makes eight channels of a pixel, or one where they do not lie in chunks.

use super::{Pool2d, Window};
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{LiveBound, Result, RowTokens};

parameters! {
    /// `pool2d.cu`
    struct PoolParameters for Pool2d in pool_signature {
        x: u64,
        x_map: u64,
        out: u64,
        out_map: u64,
        live: u64,
        from_height: u32,
        from_width: u32,
        to_height: u32,
        to_width: u32,
        width: u32,
        kernel: u32,
        stride: u32,
        padding: u32,
    }
}

/// Channels of a thread at best.
const STEP: usize = 8;

impl Pool2d {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let (x, out) = (device.value(self.x)?, device.value(self.out)?);
        let cover = device.cover(bound)?;
        let reserved = device.reserved()?;
        reserved.rows.vectors(RowTokens::Each(self.from.pixels()))?;
        let (kernel, stride, padding) = match self.window {
            Window::Max { kernel, stride, padding } => (kernel, stride, padding),
            Window::MeanTo(_) => (0, 1, 0),
        };
        let arguments = PoolParameters {
            x: x.at,
            x_map: x.map,
            out: out.at,
            out_map: out.map,
            live: reserved.rows.table()?.live,
            from_height: self.from.height as u32,
            from_width: self.from.width as u32,
            to_height: self.to().height as u32,
            to_width: self.to().width as u32,
            width: self.width as u32,
            kernel: kernel as u32,
            stride: stride as u32,
            padding: padding as u32,
        };
        let is_wide = x.is_aligned(self.width) && out.is_aligned(self.width);
        let chunks = if is_wide { self.width / STEP } else { self.width };
        let threads = cover.rows * self.to().pixels() * chunks;
        if threads == 0 {
            return Ok(());
        }
        let kernel = Kernel::Pool2d;
        let grid = [threads.div_ceil(kernel.threads() as usize) as u32, 1, 1];
        device.push(Launch { kernel, grid, shared_bytes: 0, arguments: arguments.pack() })
    }
}
