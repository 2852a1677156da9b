//! What the tile hands to a micro-kernel.

/// What a micro-kernel of `ROWS` rows and `PANELS` panels works on.
///
/// For every `r < ROWS`: `a + r * a_stride` is readable for `k` elements and
/// `c + r * c_stride` is readable and writable for `PANELS * 32`; `b` is readable for
/// `PANELS * k * 32`; `c` shares no element with the others, nor do its rows with each other.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub(super) k: usize,
    pub(super) a: *const f32,
    pub(super) a_stride: usize,
    pub(super) b: *const f32,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    /// The sums go on from what `c` holds.
    pub(super) add: bool,
    /// See [`Panels::is_half`](super::Panels::is_half).
    pub(super) is_half: bool,
}
