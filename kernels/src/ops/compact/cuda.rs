//! Nothing moves: the maps from live tokens to their places lose the rows that leave, and groups
//! become one by maps that follow one another.

use super::Compact;
use crate::cuda::{Address, CudaDevice, Kernel, Launch, Table, parameters};
use crate::{GroupId, LiveBound, Result};

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
        appends: u32,
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
        let [from, to] = reserved.rows.tables();
        let local = reserved.values.drop_tokens(&[self.x], width, &from)?;
        reserved.rows.advance();
        let states = reserved.rows.states_address();
        device.push(pack(states, from, local, to, false))
    }

    /// Rows of parked `groups` become one group, which runs: one table behind the other.
    pub(crate) fn launch_gather(device: &mut CudaDevice, groups: &[GroupId]) -> Result<()> {
        let rows = &device.reserved()?.rows;
        let states = rows.states_address();
        let [_, to] = rows.tables_of(groups[0]);
        for (index, &group) in groups.iter().enumerate() {
            let [from, _] = device.reserved()?.rows.tables_of(group);
            device.push(pack(states, from, 0, to, index > 0))?;
        }
        let reserved = device.reserved()?;
        reserved.values.clear();
        reserved.rows.gather(groups);
        reserved.rows.advance();
        Ok(())
    }
}

/// The launch that writes the rows of table `from` which stay to `to`: behind those that are there,
/// where it `appends`.
fn pack(states: Address, from: Table, local: Address, to: Table, appends: bool) -> Launch {
    let arguments = CompactParameters {
        states,
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
        appends: appends.into(),
    };
    let (kernel, grid, shared_bytes) = (Kernel::Compact, [1, 1, 1], 0);
    Launch { kernel, grid, shared_bytes, arguments: arguments.pack() }
}
