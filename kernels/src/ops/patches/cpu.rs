//! Row by row: small beside what comes before and behind it.

use super::Patches;
use crate::cpu::CpuDevice;
use crate::{Result, RowTokens};

impl Patches {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let width = self.width;
        let x = device.live(self.x, RowTokens::Each(self.patches), width);
        let out = device.packed(self.out, width);
        let first = device.weights.table(self.first, width)?;
        let position = device.weights.table(self.position, width)?;
        let ([x], out) = device.arena.views([x], out)?;
        let row_len = self.tokens() * width;
        if row_len == 0 {
            return Ok(());
        }
        for (row, out) in out.chunks_exact_mut(row_len).enumerate() {
            let patches = &x[row * self.patches * width..][..self.patches * width];
            let tokens = first.iter().chain(patches);
            for ((out, token), position) in out.iter_mut().zip(tokens).zip(position) {
                *out = token + position;
            }
        }
        Ok(())
    }
}
