//! Where the live rows of a group are described, in device memory.

use bytemuck::{Pod, Zeroable};

use super::driver::Address;
use super::launch::parameters;
use crate::ArenaLayout;

/// `Live` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct Live {
    pub(super) rows: u32,
    pub(super) tokens: u32,
}

/// One description.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    /// One [`Live`].
    pub(crate) live: Address,
    /// `rows + 1` token indices.
    pub(crate) offsets: Address,
    /// `rows` slots.
    pub(crate) slots: Address,
    /// By live token or image: its place; 0 where it is the identity.
    pub(crate) origin: Address,
    /// By live token or image: where it lay in values written before tokens were dropped; 0 where
    /// it is the identity.
    pub(crate) local: Address,
}

parameters! {
    /// Of kernels that read one table and write another.
    struct TableParameters {
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

impl TableParameters {
    /// Reads `from`, whose map to what was written before starts from `local`.
    pub(crate) fn new(from: &Table, local: Address, to: &Table) -> Self {
        Self {
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
        }
    }
}

/// The first table of a group, and two that take turns behind it.
pub(super) struct Tables {
    tables: [Table; 3],
    current: usize,
}

impl Tables {
    /// Bytes of the two that take turns.
    pub(super) fn bytes(layout: &ArenaLayout) -> usize {
        Self::stride(layout).saturating_mul(2)
    }

    fn stride(layout: &ArenaLayout) -> usize {
        let rows = layout.rows_max.saturating_add(1);
        let words = rows.saturating_mul(2).saturating_add(layout.tokens_max.saturating_mul(2));
        words.saturating_mul(4).saturating_add(3 * 16 + 15) & !15
    }

    /// `later`: memory of the two.
    pub(super) fn new(first: Table, later: Address, layout: &ArenaLayout) -> Self {
        let words = |count: usize| 4 * count as u64;
        let table = |index: usize| {
            let live = later + (index * Self::stride(layout)) as u64;
            let offsets = live + 16;
            let slots = offsets + words(layout.rows_max + 1);
            let origin = slots + words(layout.rows_max + 1);
            Table { live, offsets, slots, origin, local: origin + words(layout.tokens_max) }
        };
        Self { tables: [first, table(0), table(1)], current: 0 }
    }

    /// The group comes, with this map to its places.
    pub(super) fn begin(&mut self, origin: Address) {
        self.tables[0].origin = origin;
        self.current = 0;
    }

    pub(super) fn current(&self) -> Table {
        self.tables[self.current]
    }

    pub(super) fn next(&self) -> Table {
        self.tables[self.following()]
    }

    pub(super) fn advance(&mut self) {
        self.current = self.following();
    }

    /// Whether nothing has been dropped since the group came.
    pub(super) fn are_whole(&self) -> bool {
        self.current == 0
    }

    fn following(&self) -> usize {
        if self.current == 1 { 2 } else { 1 }
    }
}
