//! Nothing moves: the maps from live tokens to their places keep one entry a row.

use super::Narrow;
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{LiveBound, Result};

parameters! {
    /// `narrow.cu`
    struct NarrowParameters for Narrow in narrow_signature {
        live: u64,
        offsets: u64,
        slots: u64,
        origin: u64,
        local: u64,
        live_out: u64,
        offsets_out: u64,
        slots_out: u64,
        origin_out: u64,
        local_out: u64,
    }
}

impl Narrow {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let cover = device.cover(bound)?;
        let reserved = device.reserved()?;
        if reserved.rows.count() == 0 {
            return Ok(());
        }
        let [from, to] = reserved.rows.tables();
        let local = reserved.values.drop_tokens(&self.values, self.width, &from)?;
        let arguments = NarrowParameters {
            live: from.live,
            offsets: from.offsets,
            slots: from.slots,
            origin: from.origin,
            local,
            live_out: to.live,
            offsets_out: to.offsets,
            slots_out: to.slots,
            origin_out: to.origin,
            local_out: to.local,
        };
        reserved.rows.advance();
        let threads = Kernel::Narrow.threads() as usize;
        let grid = [(cover.rows + 1).div_ceil(threads) as u32, 1, 1];
        let (kernel, shared_bytes) = (Kernel::Narrow, 0);
        device.push(Launch { kernel, grid, shared_bytes, arguments: arguments.pack() })
    }
}
