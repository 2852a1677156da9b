//! Nothing moves: the maps from live tokens to their places lose the rows that leave, and groups
//! become one by maps that follow one another.

use super::Compact;
use crate::cuda::{Address, CudaDevice, Kernel, Launch, Table, TableParameters, parameters};
use crate::{GroupId, LiveBound, Result};

parameters! {
    /// `compact.cu`, behind the tables.
    struct CompactParameters {
        states: u64,
        appends: u32,
    }
}

impl Compact {
    pub(crate) fn launch(&self, device: &mut CudaDevice, _bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let reserved = device.reserved()?;
        let width = reserved.rows.vectors(self.tokens)? * self.width;
        let [from, to] = reserved.rows.tables()?;
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
    let own = CompactParameters { states, appends: appends.into() };
    let arguments = TableParameters::new(&from, local, &to).pack().and(&own.pack());
    Launch { kernel: Kernel::Compact, grid: [1, 1, 1], shared_bytes: 0, arguments }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::kernels::check_parameters;

    #[test]
    fn parameters_match_the_ptx() {
        let both = [TableParameters::TYPES, CompactParameters::TYPES].concat();
        check_parameters(Kernel::Compact, &both);
    }
}
