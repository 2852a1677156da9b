//! `cp.async`: copies that land only when their thread waits for them.

use crate::shared::Toucher;

/// A copy on its way. Bytes past `size` become zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy {
    pub(crate) to: u32,
    pub(crate) from: u64,
    pub(crate) size: u32,
    pub(crate) bytes: u32,
    pub(crate) by: Toucher,
}

/// The copies of one warp. Each lane counts its own groups.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// With the group each belongs to.
    pending: Vec<(u32, Copy)>,
    /// Groups committed by each lane.
    committed: [u32; 32],
}

impl Copies {
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.committed = [0; 32];
    }

    pub(crate) fn add(&mut self, copy: Copy) {
        self.pending.push((self.committed[copy.by.lane as usize], copy));
    }

    pub(crate) fn commit(&mut self, mask: u32) {
        for lane in crate::counts::lanes(mask) {
            self.committed[lane] += 1;
        }
    }

    /// Takes out all groups of the lanes in `mask` but the `keep` newest; `None`: everything,
    /// committed or not.
    pub(crate) fn take(&mut self, mask: u32, keep: Option<u32>) -> Vec<Copy> {
        let committed = self.committed;
        let is_due = |group: u32, lane: u32| {
            let late = keep.is_none_or(|keep| group + keep < committed[lane as usize]);
            mask >> lane & 1 != 0 && late
        };
        let due = self.pending.extract_if(.., |(group, copy)| is_due(*group, copy.by.lane));
        due.map(|(_, copy)| copy).collect()
    }
}
