//! Which rows of a group are alive, and in what order they lie.

use offramp_kernels::{LiveBound, RowSlot};

/// The rows alive, by position: the host's replica of the device's row table, and the only host
/// code that reorders rows.
///
/// Compaction is stable and a function of the rows that left, so the replica follows from the
/// exit records alone; nothing is read back.
#[derive(Debug, Default)]
pub struct RowMap {
    rows: Vec<LiveRow>,
    tokens: usize,
}

/// A row that is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveRow {
    /// Which one.
    pub slot: RowSlot,
    /// How many tokens it has.
    pub tokens: usize,
}

impl RowMap {
    /// An empty map with room for `rows_max` rows.
    pub fn with_capacity(rows_max: usize) -> Self {
        Self { rows: Vec::with_capacity(rows_max), tokens: 0 }
    }

    /// No row is alive.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.tokens = 0;
    }

    /// A row comes, behind the others.
    pub fn push(&mut self, row: LiveRow) {
        self.tokens += row.tokens;
        self.rows.push(row);
    }

    /// The rows of `other` come, behind the others.
    pub fn append(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.rows.extend_from_slice(&other.rows);
    }

    /// Keeps the rows that `stays` says stay, in their order.
    pub fn retain(&mut self, mut stays: impl FnMut(RowSlot) -> bool) {
        self.rows.retain(|row| stays(row.slot));
        self.tokens = self.rows.iter().map(|row| row.tokens).sum();
    }

    /// By position.
    pub fn iter(&self) -> impl Iterator<Item = &LiveRow> {
        self.rows.iter()
    }

    /// Rows and tokens alive.
    pub fn bound(&self) -> LiveBound {
        LiveBound { rows: self.rows.len(), tokens: self.tokens }
    }

    /// Whether no row is alive.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn retain_keeps_order_and_counts(
            lengths in prop::collection::vec(1u32..50, 0..40),
            rounds in prop::collection::vec(any::<u64>(), 0..5),
        ) {
            let mut map = RowMap::default();
            for (slot, &tokens) in lengths.iter().enumerate() {
                map.push(LiveRow { slot: RowSlot(slot as u32), tokens: tokens as usize });
            }
            let mut expected: Vec<u32> = (0..lengths.len() as u32).collect();
            for bits in rounds {
                let stays = |slot: u32| bits >> (slot % 64) & 1 == 1;
                map.retain(|slot| stays(slot.0));
                expected.retain(|&slot| stays(slot));
                let found: Vec<u32> = map.iter().map(|row| row.slot.0).collect();
                prop_assert_eq!(&found, &expected);
                let tokens: u32 = expected.iter().map(|&s| lengths[s as usize]).sum();
                prop_assert_eq!(map.bound().tokens, tokens as usize);
            }
        }
    }
}
