//! What a launch runs on.

/// What differs between chips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Shared memory a block may have, static and dynamic, in bytes.
    pub shared_max: u32,
    /// Mixes the order in which blocks run; 0 is the order of their numbers.
    pub seed: u64,
    /// How its tensor cores sum up.
    pub tensor: Tensor,
}

/// How tensor cores sum up the products of an `mma`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tensor {
    /// By a chain of fused multiply-adds: more exact than any.
    Exact,
    /// As Ampere and Ada Lovelace do: eight products at once, 24 fraction bits.
    Ampere,
    /// As Hopper does: 16 products at once, 25 fraction bits.
    Hopper,
}

impl Chip {
    /// Shared memory that no chip goes beyond, in bytes.
    pub(crate) const SHARED_MAX: u32 = 227 << 10;
}

impl Default for Chip {
    /// As much shared memory as any chip has, blocks in the order of their numbers.
    fn default() -> Self {
        Self { shared_max: Self::SHARED_MAX, seed: 0, tensor: Tensor::Exact }
    }
}
