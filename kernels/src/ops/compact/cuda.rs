//! Nothing moves: the maps from live tokens to their places lose the rows that leave.

use super::Compact;
use crate::cuda::{CudaDevice, Kernel, Launch, parameters};
use crate::{LiveBound, Result};

parameters! {
    /// `compact.cu`
    struct CompactParameters for Compact in compact_signature {
        states: u64,
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

impl Compact {
    pub(crate) fn launch(&self, device: &mut CudaDevice, _bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let reserved = device.reserved()?;
        if reserved.rows.count() == 0 {
            return Ok(());
        }
        let width = reserved.rows.vectors(self.tokens)? * self.width;
        let local = reserved.values.drop_tokens(&[self.x], width, &reserved.rows)?;
        let (from, to) = (reserved.rows.table(), reserved.rows.next_table());
        let arguments = CompactParameters {
            states: reserved.rows.states_address(),
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
        let (kernel, grid, shared_bytes) = (Kernel::Compact, [1, 1, 1], 0);
        device.push(Launch { kernel, grid, shared_bytes, arguments: arguments.pack() })
    }
}
