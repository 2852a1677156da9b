//! One warp makes one token.

use super::Patches;
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{LiveBound, Result, RowTokens};

parameters! {
    /// `patches.cu`
    struct PatchesParameters for Patches in patches_signature {
        x: u64,
        live: u64,
        first: u64,
        position: u64,
        firsts: u32,
        tokens: u32,
        width: u32,
        out: u64,
        out_map: u64,
    }
}

/// Tokens of a block.
const TOKENS: usize = 4;

impl Patches {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let (x, out) = (device.value(self.x)?, device.value(self.out)?);
        let cover = device.cover(bound)?;
        let reserved = device.reserved()?;
        reserved.rows.vectors(RowTokens::Each(self.patches))?;
        let (first, _) = reserved.weights.table(self.first, self.width)?;
        let (position, _) = reserved.weights.table(self.position, self.width)?;
        if cover.tokens == 0 || self.width == 0 {
            return Ok(());
        }
        let arguments = PatchesParameters {
            x: x.at,
            live: reserved.rows.table()?.live,
            first,
            position,
            firsts: self.firsts as u32,
            tokens: self.tokens() as u32,
            width: self.width as u32,
            out: out.at,
            out_map: out.map,
        };
        let grid = [cover.tokens.div_ceil(TOKENS) as u32, 1, 1];
        let (kernel, shared_bytes) = (Kernel::Patches, 0);
        device.push(Launch { kernel, grid, shared_bytes, arguments: arguments.pack() })
    }
}
