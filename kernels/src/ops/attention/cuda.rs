//! One block takes 64 queries of one head of one row; keys stream past.

use super::Attention;
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{LiveBound, Result};

parameters! {
    /// `attention.cu`, all entries
    struct AttentionParameters for Attention32, Attention64, Attention128, AttentionAny
    in attention_signature {
        qkv: u64,
        qkv_map: u64,
        offsets: u64,
        live: u64,
        out: u64,
        out_map: u64,
        heads: u32,
        head_dim: u32,
        scale: f32,
    }
}

/// Queries of a block on tensor cores, and of one without.
const QUERIES: usize = 64;
const QUERIES_ANY: usize = 4;

impl Attention {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let (qkv, out) = (device.value(self.qkv)?, device.value(self.out)?);
        let cover = device.cover(bound)?;
        if cover.tokens == 0 || self.heads == 0 || self.head_dim == 0 {
            return Ok(());
        }
        let table = device.reserved()?.rows.table()?;
        let is_aligned = qkv.is_aligned(self.head_dim) && out.is_aligned(self.head_dim);
        let tiled = match self.head_dim {
            ..=32 => Some(Kernel::Attention32),
            33..=64 => Some(Kernel::Attention64),
            65..=128 => Some(Kernel::Attention128),
            _ => None,
        };
        let tiled = tiled.filter(|&kernel| is_aligned && device.fits(kernel));
        let (kernel, queries) =
            tiled.map_or((Kernel::AttentionAny, QUERIES_ANY), |kernel| (kernel, QUERIES));
        let arguments = AttentionParameters {
            qkv: qkv.at,
            qkv_map: qkv.map,
            offsets: table.offsets,
            live: table.live,
            out: out.at,
            out_map: out.map,
            heads: self.heads as u32,
            head_dim: self.head_dim as u32,
            scale: 1.0 / (self.head_dim as f32).sqrt(),
        };
        let grid = [cover.longest.div_ceil(queries) as u32, self.heads as u32, cover.rows as u32];
        let shared_bytes = device.shared_bytes(kernel);
        device.push(Launch { kernel, grid, shared_bytes, arguments: arguments.pack() })
    }
}
