//! Rows move towards the front in place, one run of tokens at a time.

use super::Compact;
use crate::Result;
use crate::cpu::CpuDevice;

impl Compact {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let x = device.live(self.x, self.tokens, self.width);
        let x = device.arena.slice_mut("compact x", x)?;
        let width = self.width;
        device.rows.compact(self.tokens, |from, to| {
            x.copy_within(from.start * width..from.end * width, to * width);
        });
        Ok(())
    }
}
