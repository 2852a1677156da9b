//! What a group comes with, as bytes: settings and the first table of its rows. The states of rows.
//!
//! ```text
//! entry:  settings | live | thresholds | offsets | slots | origin | tokens
//! ```

use bytemuck::{Pod, Zeroable};

use super::table::Live;
use crate::{Admission, ArenaLayout, ExitWindow, GroupId, RowSlot, Score, Token};

/// `Settings` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Settings {
    score: u32,
    patience: u32,
}

/// `RowState` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct RowState {
    answered: u32,
    stays: u32,
    window: ExitWindow,
    label: u32,
    streak: u32,
    number: u32,
}

/// Byte offsets of the parts of an entry, and of the entries in the block.
#[derive(Clone, Copy, Default)]
pub(super) struct Places {
    pub(super) live: usize,
    pub(super) thresholds: usize,
    pub(super) offsets: usize,
    pub(super) slots: usize,
    pub(super) origin: usize,
    pub(super) tokens: usize,
    pub(super) entry_bytes: usize,
    /// Tokens of each image, where they are its row's.
    pub(super) image_tokens: usize,
    /// Where entries begin: behind the states.
    pub(super) entries: usize,
}

impl Places {
    pub(super) fn new(layout: &ArenaLayout) -> Self {
        let padded = |bytes: usize| bytes.saturating_add(15) & !15;
        let mut end = padded(size_of::<Settings>());
        let mut take = |count: usize, bytes: usize| {
            let at = end;
            end = padded(at.saturating_add(count.saturating_mul(bytes)));
            at
        };
        let rows = layout.rows_max;
        Self {
            live: take(1, size_of::<Live>()),
            thresholds: take(layout.exits, 4),
            offsets: take(rows.saturating_add(1), 4),
            slots: take(rows, 4),
            origin: take(layout.tokens_max, 4),
            tokens: take(layout.tokens_max, size_of::<Token>()),
            entry_bytes: end,
            image_tokens: layout.image_tokens,
            entries: padded(rows.saturating_mul(size_of::<RowState>())),
        }
    }

    pub(super) fn entry(&self, group: GroupId) -> usize {
        self.entries + group.0 as usize * self.entry_bytes
    }
}

impl RowState {
    pub(super) fn new(rows: &Admission<'_>, row: usize, number: u64) -> Self {
        Self {
            answered: 0,
            stays: rows.stays[row].into(),
            window: rows.windows.get(row).copied().unwrap_or(ExitWindow::ANY),
            label: 0,
            streak: 0,
            number: number as u32,
        }
    }
}

/// Writes all of an entry but its map and its tokens; gives where it ends.
pub(super) fn fill(
    entry: &mut [u8],
    places: &Places,
    rows: &Admission<'_>,
    slots: &[RowSlot],
) -> usize {
    let (score, patience) = match rows.score {
        Score::Confidence => (0, 0),
        Score::Entropy => (1, 0),
        Score::Margin => (2, 0),
        Score::Patience { k } => (3, k),
    };
    put(entry, 0, &[Settings { score, patience }]);
    put(entry, places.thresholds, rows.thresholds);
    let mut end = 0_u32;
    put(entry, places.offsets, &[end]);
    for (row, (slot, count)) in slots.iter().zip(rows.places(places.image_tokens)).enumerate() {
        end += count as u32;
        put(entry, places.offsets + 4 * (row + 1), &[end]);
        put(entry, places.slots + 4 * row, &[slot.0]);
    }
    put(entry, places.live, &[Live { rows: slots.len() as u32, tokens: end }]);
    places.origin + 4 * end as usize
}

/// Writes values as the kernels read them.
pub(super) fn put<T: Pod>(staging: &mut [u8], at: usize, values: &[T]) {
    let bytes = bytemuck::cast_slice::<T, u8>(values);
    staging[at..at + bytes.len()].copy_from_slice(bytes);
}
