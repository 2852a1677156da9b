//! One warp normalises one token.

use super::Norm;
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{LiveBound, Result};

parameters! {
    /// `norm.cu`
    struct NormParameters for Norm in norm_signature {
        x: u64,
        x_map: u64,
        live: u64,
        scale: u64,
        shift: u64,
        eps: f32,
        width: u32,
        out: u64,
        out_map: u64,
    }
}

/// Tokens of a block.
const TOKENS: usize = 4;

impl Norm {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let (x, out) = (device.value(self.x)?, device.value(self.out)?);
        let cover = device.cover(bound)?;
        let reserved = device.reserved()?;
        let arguments = NormParameters {
            x: x.at,
            x_map: x.map,
            live: reserved.rows.table()?.live,
            scale: reserved.weights.vector(self.scale, self.width)?,
            shift: reserved.weights.vector(self.shift, self.width)?,
            eps: self.eps,
            width: self.width as u32,
            out: out.at,
            out_map: out.map,
        };
        if cover.tokens == 0 || self.width == 0 {
            return Ok(());
        }
        let grid = [cover.tokens.div_ceil(TOKENS) as u32, 1, 1];
        let (kernel, shared_bytes) = (Kernel::Norm, 0);
        device.push(Launch { kernel, grid, shared_bytes, arguments: arguments.pack() })
    }
}
