//! What a launch runs on.

/// What differs between chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Shared memory a block may have, static and dynamic, in bytes.
    pub shared_max: u32,
    /// Mixes the order in which blocks run; 0 is the order of their numbers.
    pub seed: u64,
}

impl Chip {
    /// Shared memory that no chip goes beyond, in bytes.
    pub(crate) const SHARED_MAX: u32 = 227 << 10;
}

impl Default for Chip {
    /// As much shared memory as any chip has, blocks in the order of their numbers.
    fn default() -> Self {
        Self { shared_max: Self::SHARED_MAX, seed: 0 }
    }
}
