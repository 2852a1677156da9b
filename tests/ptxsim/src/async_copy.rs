//! `cp.async`: copies that land only when their thread waits for them.

use crate::fault::Step;
use crate::memory::View;
use crate::shared::{Shared, Toucher};

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

    /// Lands all groups of the lanes in `mask` but the `keep` newest; `None`: everything,
    /// committed or not.
    pub(crate) fn wait(
        &mut self,
        mask: u32,
        keep: Option<u32>,
        shared: &mut Shared,
        view: &View,
    ) -> Step {
        let committed = self.committed;
        let lands = |group: u32, lane: u32| {
            let late = keep.is_none_or(|keep| group + keep < committed[lane as usize]);
            mask >> lane & 1 != 0 && late
        };
        let mut hint = 0;
        let mut result = Ok(());
        self.pending.retain(|&(group, copy)| {
            let lands = result.is_ok() && lands(group, copy.by.lane);
            if lands {
                result = land(copy, shared, view, &mut hint);
            }
            !lands
        });
        result
    }
}

fn land(copy: Copy, shared: &mut Shared, view: &View, hint: &mut usize) -> Step {
    let mut bytes = [0; 16];
    if let Some(block) = view.block(copy.from, hint) {
        let offset = copy.from - block.base();
        let (whole, rest) = (copy.size / 4 * 4, copy.size % 4);
        for at in (0..whole).step_by(4) {
            let word = block.load(offset + u64::from(at), 4) as u32;
            bytes[at as usize..][..4].copy_from_slice(&word.to_le_bytes());
        }
        for at in whole..whole + rest {
            bytes[at as usize] = block.load(offset + u64::from(at), 1) as u8;
        }
    }
    shared.write(copy.to, &bytes[..copy.bytes as usize]);
    shared.end_copy(copy.to, copy.bytes, copy.by)
}
