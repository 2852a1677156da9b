//! First tokens move towards the front in place.

use super::Narrow;
use crate::cpu::CpuDevice;
use crate::{Result, RowTokens};

impl Narrow {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let width = self.width;
        for value in self.values {
            let value = device.packed(value, width);
            let value = device.arena.slice_mut("narrow value", value)?;
            for position in 0..device.rows.live() {
                let from = device.rows.span(position, RowTokens::Own).start;
                value.copy_within(from * width..(from + 1) * width, position * width);
            }
        }
        device.rows.narrow();
        Ok(())
    }
}
