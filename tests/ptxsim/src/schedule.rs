//! In which order blocks run: as they are numbered, or mixed by a seed.

/// An order of the blocks of a launch, and choices where there are several.
#[derive(Debug)]
pub(crate) struct Schedule {
    total: u64,
    /// Numbers go up by this, round and round; it has no divisor in common with `total`.
    step: u64,
    first: u64,
    /// State of the choices; none where all are the usual ones.
    state: Option<u64>,
}

impl Schedule {
    /// Seed 0 is the order of the numbers.
    pub(crate) fn new(seed: u64, total: u64) -> Self {
        if seed == 0 {
            return Self { total, step: 1, first: 0, state: None };
        }
        let mut mixed = Self { total, step: 1, first: 0, state: Some(seed) };
        mixed.first = mixed.random() % total;
        let from = mixed.random() % total;
        let steps = (from..total).chain(1..=from);
        mixed.step = steps.into_iter().find(|&step| common(step, total) == 1).unwrap_or(1);
        mixed
    }

    /// The number of the block that is the `at`th to begin.
    pub(crate) fn number(&self, at: u64) -> u64 {
        let far = u128::from(at) * u128::from(self.step) + u128::from(self.first);
        (far % u128::from(self.total)) as u64
    }

    /// Yes or no; `usual` where blocks go by their numbers.
    pub(crate) fn choose(&mut self, usual: bool) -> bool {
        if self.state.is_some() { self.random() >> 40 & 1 == 0 } else { usual }
    }

    /// Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
    fn random(&mut self) -> u64 {
        let state = self.state.unwrap_or(0).wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state = Some(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// The greatest common divisor.
fn common(a: u64, b: u64) -> u64 {
    if a == 0 { b } else { common(b % a, a) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_begins_once() {
        for seed in 0..40 {
            for total in [1, 2, 3, 12, 97, 256] {
                let schedule = Schedule::new(seed, total);
                let mut begun: Vec<u64> = (0..total).map(|at| schedule.number(at)).collect();
                assert!(seed > 0 || begun.is_sorted(), "{begun:?}");
                begun.sort_unstable();
                assert!(begun.into_iter().eq(0..total), "seed {seed} of {total}");
            }
        }
    }
}
