//! Which rows are alive, and in what order they lie.

use offramp_kernels::{LiveBound, RowSlot};

/// Position -> slot of the rows alive, with their token counts: the host's replica of the
/// device's row state, and the only host code that reorders rows.
///
/// Compaction is stable and a function of the rows that left, so the replica follows from the
/// exit records alone; nothing is read back.
#[derive(Debug, Default)]
pub struct RowMap {
    slots: Vec<RowSlot>,
    tokens_by_slot: Vec<usize>,
    tokens: usize,
}

impl RowMap {
    /// An empty map with room for `rows_max` rows.
    pub fn with_capacity(rows_max: usize) -> Self {
        Self {
            slots: Vec::with_capacity(rows_max),
            tokens_by_slot: Vec::with_capacity(rows_max),
            tokens: 0,
        }
    }

    /// Starts over with one row per gap of `offsets`, slot = position.
    pub fn reset(&mut self, offsets: &[u32]) {
        self.slots.clear();
        self.tokens_by_slot.clear();
        let lengths = offsets.windows(2).map(|ends| (ends[1] - ends[0]) as usize);
        self.tokens_by_slot.extend(lengths);
        self.slots.extend((0..self.tokens_by_slot.len() as u32).map(RowSlot));
        self.tokens = self.tokens_by_slot.iter().sum();
    }

    /// Keeps the rows that `stays` says stay, in their order.
    pub fn retain(&mut self, mut stays: impl FnMut(RowSlot) -> bool) {
        self.slots.retain(|&slot| stays(slot));
        self.tokens = self.slots.iter().map(|&slot| self.tokens_by_slot[slot.0 as usize]).sum();
    }

    /// Slots by position.
    pub fn slots(&self) -> &[RowSlot] {
        &self.slots
    }

    /// Tokens of one row.
    pub fn tokens_of(&self, slot: RowSlot) -> usize {
        self.tokens_by_slot[slot.0 as usize]
    }

    /// Rows and tokens alive.
    pub fn bound(&self) -> LiveBound {
        LiveBound { rows: self.slots.len(), tokens: self.tokens }
    }

    /// Whether no row is alive.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
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
            let offsets: Vec<u32> = std::iter::once(0)
                .chain(lengths.iter().scan(0, |end, n| { *end += n; Some(*end) }))
                .collect();
            let mut map = RowMap::default();
            map.reset(&offsets);
            let mut expected: Vec<u32> = (0..lengths.len() as u32).collect();
            for bits in rounds {
                let stays = |slot: u32| bits >> (slot % 64) & 1 == 1;
                map.retain(|slot| stays(slot.0));
                expected.retain(|&slot| stays(slot));
                let found: Vec<u32> = map.slots().iter().map(|s| s.0).collect();
                prop_assert_eq!(&found, &expected);
                let tokens: u32 = expected.iter().map(|&s| lengths[s as usize]).sum();
                prop_assert_eq!(map.bound().tokens, tokens as usize);
            }
        }
    }
}
