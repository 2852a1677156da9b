//! What a device sets aside for a layout.

use super::driver::Address;
use super::exits::Exits;
use super::memory::DeviceMemory;
use super::rows::Rows;
use super::values::Values;
use super::weights::Weights;
use crate::MomentsId;

/// Everything that a layout needs.
pub(crate) struct Reserved {
    pub(super) arena: DeviceMemory,
    pub(crate) weights: Weights,
    pub(crate) rows: Rows,
    pub(crate) exits: Exits,
    pub(crate) values: Values,
    /// By [`crate::MomentsId`]: moments of the value's vectors, by their places.
    pub(crate) moments: Vec<DeviceMemory>,
    /// Shares of products over `k`, and counters of those that are done.
    pub(crate) partial: DeviceMemory,
    pub(crate) arrivals: DeviceMemory,
}

impl Reserved {
    pub(super) fn bytes(&self) -> usize {
        self.arena.bytes()
            + self.weights.bytes()
            + self.rows.bytes()
            + self.exits.bytes()
            + self.moments.iter().map(DeviceMemory::bytes).sum::<usize>()
            + self.partial.bytes()
            + self.arrivals.bytes()
    }

    /// Where a table of moments begins. Its id has been checked against the layout.
    pub(crate) fn moments(&self, id: MomentsId) -> Address {
        self.moments[id.0].address()
    }
}
