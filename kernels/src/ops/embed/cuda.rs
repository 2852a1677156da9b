//! One warp sums and normalises one token.

use super::Embed;
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{LiveBound, Result};

parameters! {
    /// `embed.cu`
    struct EmbedParameters for Embed in embed_signature {
        tokens: u64,
        live: u64,
        word: u64,
        position: u64,
        kind: u64,
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

impl Embed {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let (out, cover) = (device.value(self.out)?, device.cover(bound)?);
        let reserved = device.reserved()?;
        let (weights, rows) = (&reserved.weights, &reserved.rows);
        let (word, words) = weights.table(self.word, self.width)?;
        let (position, positions) = weights.table(self.position, self.width)?;
        let kind = self.kind.map(|kind| weights.table(kind, self.width)).transpose()?;
        let (kind, kinds) = kind.unwrap_or((0, usize::MAX));
        let vector = |id| weights.vector(id, self.width);
        let scale = self.norm.map_or(Ok(0), |norm| vector(norm.scale))?;
        let shift = self.norm.map_or(Ok(0), |norm| vector(norm.shift))?;
        Self::check_tokens(rows.tokens()?, [words, positions, kinds])?;
        if cover.tokens == 0 || self.width == 0 {
            return Ok(());
        }
        let arguments = EmbedParameters {
            tokens: rows.tokens_address()?,
            live: rows.table()?.live,
            word,
            position,
            kind,
            scale,
            shift,
            eps: self.norm.map_or(0.0, |norm| norm.eps),
            width: self.width as u32,
            out: out.at,
            out_map: out.map,
        };
        let grid = [cover.tokens.div_ceil(TOKENS) as u32, 1, 1];
        let (kernel, shared_bytes) = (Kernel::Embed, 0);
        device.push(Launch { kernel, grid, shared_bytes, arguments: arguments.pack() })
    }
}
