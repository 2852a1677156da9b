//! What a launch did, in numbers that do not depend on the host.

use std::ops::AddAssign;

/// Sums over all warps of a launch.
///
/// The numbers follow from the kernel, its inputs and the launch alone; host threads do not
/// change them. Lanes that are switched off count nowhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Instructions issued by warps, each once whatever the number of lanes switched on.
    pub instructions: u64,
    /// Load instructions to global memory, `cp.async` and atomics that return included.
    pub global_loads: u64,
    /// Store instructions to global memory, atomics included.
    pub global_stores: u64,
    /// Distinct 32-byte sectors of each warp's load, summed.
    pub global_load_sectors: u64,
    /// Distinct 32-byte sectors of each warp's store, summed.
    pub global_store_sectors: u64,
    /// Bytes that lanes asked for in loads of global memory; overlaps count again.
    pub global_load_bytes: u64,
    /// Bytes that lanes asked for in stores to global memory; overlaps count again.
    pub global_store_bytes: u64,
    /// Wavefronts of shared memory. A request of up to 4 bytes per lane is one phase of 32 lanes,
    /// of 8 bytes two phases of 16, of 16 bytes four phases of 8; `ldmatrix` has a phase for
    /// each 8x8 matrix. A phase without active lanes does not count. A phase takes as many
    /// wavefronts as the busiest of the 32 banks (4 bytes wide) has distinct words to give.
    pub shared_accesses: u64,
    /// Wavefronts beyond one per phase.
    pub shared_bank_conflicts: u64,
    /// `mma` instructions of warps.
    pub tensor_ops: u64,
    /// Block barriers that warps passed.
    pub barriers: u64,
    /// Atomic instructions of warps, global and shared.
    pub atomics: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.global_loads += other.global_loads;
        self.global_stores += other.global_stores;
        self.global_load_sectors += other.global_load_sectors;
        self.global_store_sectors += other.global_store_sectors;
        self.global_load_bytes += other.global_load_bytes;
        self.global_store_bytes += other.global_store_bytes;
        self.shared_accesses += other.shared_accesses;
        self.shared_bank_conflicts += other.shared_bank_conflicts;
        self.tensor_ops += other.tensor_ops;
        self.barriers += other.barriers;
        self.atomics += other.atomics;
    }
}

/// Distinct 32-byte sectors that the lanes of `mask` touch with `bytes` each, at most 32 and
/// aligned.
pub(crate) fn sectors(addresses: &[u64; 32], mask: u32) -> u64 {
    let mut sectors = [u64::MAX; 32];
    let mut count = 0;
    let mut ascending = true;
    for lane in lanes(mask) {
        let sector = addresses[lane] >> 5;
        if count > 0 && sectors[count - 1] == sector {
            continue;
        }
        ascending &= count == 0 || sectors[count - 1] < sector;
        sectors[count] = sector;
        count += 1;
    }
    if ascending || count == 0 {
        return count as u64;
    }
    let sectors = &mut sectors[..count];
    sectors.sort_unstable();
    1 + sectors.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64
}

/// Wavefronts of one request to shared memory, and the phases it has.
pub(crate) fn wavefronts(addresses: &[u64; 32], mask: u32, bytes: u32) -> (u64, u64) {
    let lanes_at_once = match bytes {
        16 => 8,
        8 => 16,
        _ => 32,
    };
    let (mut total, mut phases) = (0, 0);
    for first in (0..32).step_by(lanes_at_once) {
        let phase = mask & (u32::MAX >> (32 - lanes_at_once)) << first;
        if phase != 0 {
            phases += 1;
            total += phase_wavefronts(addresses, phase, bytes.div_ceil(4));
        }
    }
    (total, phases)
}

/// Distinct words of the busiest bank.
fn phase_wavefronts(addresses: &[u64; 32], phase: u32, words: u32) -> u64 {
    let spread = lanes(phase).fold((0u32, 0), |(banks, count), lane| {
        let first = (addresses[lane] >> 2) as u32 % 32;
        (banks | (u32::MAX >> (32 - words)).rotate_left(first), count + words)
    });
    if spread.0.count_ones() == spread.1 {
        return 1;
    }
    // Word each bank gives in the first wavefront, from 1.
    let mut first = [0u32; 32];
    let mut clash = false;
    for lane in lanes(phase) {
        let word = (addresses[lane] >> 2) as u32;
        for word in word..word + words {
            let bank = &mut first[word as usize % 32];
            clash |= *bank != 0 && *bank != word + 1;
            *bank = word + 1;
        }
    }
    if clash { busiest(addresses, phase, words) } else { 1 }
}

#[cold]
fn busiest(addresses: &[u64; 32], phase: u32, words: u32) -> u64 {
    let mut touched: Vec<u32> = lanes(phase)
        .flat_map(|lane| {
            let word = (addresses[lane] >> 2) as u32;
            word..word + words
        })
        .collect();
    touched.sort_unstable();
    touched.dedup();
    let mut banks = [0u64; 32];
    for word in touched {
        banks[word as usize % 32] += 1;
    }
    banks.into_iter().max().unwrap_or(1)
}

/// The lanes of a mask, ascending.
pub(crate) fn lanes(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (lane < 32).then_some(lane as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn each(address: impl Fn(u64) -> u64) -> [u64; 32] {
        std::array::from_fn(|lane| address(lane as u64))
    }

    #[test]
    fn sectors_are_counted_once() {
        assert_eq!(sectors(&each(|lane| lane * 4), !0), 4);
        assert_eq!(sectors(&each(|lane| lane * 32), !0), 32);
        assert_eq!(sectors(&each(|_| 64), !0), 1);
        assert_eq!(sectors(&each(|lane| (31 - lane) * 4), !0), 4);
        assert_eq!(sectors(&each(|lane| lane % 2 * 512), !0), 2);
        assert_eq!(sectors(&each(|lane| lane * 32), 0b101), 2);
    }

    #[test]
    fn banks_conflict_over_distinct_words() {
        assert_eq!(wavefronts(&each(|lane| lane * 4), !0, 4), (1, 1));
        assert_eq!(wavefronts(&each(|_| 8), !0, 4), (1, 1));
        assert_eq!(wavefronts(&each(|lane| lane * 8), !0, 4), (2, 1));
        assert_eq!(wavefronts(&each(|lane| lane * 128), !0, 4), (32, 1));
        assert_eq!(wavefronts(&each(|lane| lane * 132), !0, 4), (1, 1));
        assert_eq!(wavefronts(&each(|lane| lane * 2), !0, 2), (1, 1));
    }

    #[test]
    fn wide_accesses_have_phases() {
        assert_eq!(wavefronts(&each(|lane| lane * 8), !0, 8), (2, 2));
        assert_eq!(wavefronts(&each(|lane| lane * 16), !0, 16), (4, 4));
        assert_eq!(wavefronts(&each(|lane| lane * 64), !0, 16), (16, 4));
        assert_eq!(wavefronts(&each(|lane| lane * 16), 0xff, 16), (1, 1));
    }
}
