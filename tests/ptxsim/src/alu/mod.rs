//! Arithmetic over the 32 lanes of a warp.

pub(crate) mod compare;
pub(crate) mod convert;
pub(crate) mod float;
pub(crate) mod half;
pub(crate) mod int;

/// A word of every lane.
pub(crate) type Words = [u32; 32];
/// A double word of every lane.
pub(crate) type Doubles = [u64; 32];

/// `f` in every lane.
#[inline(always)]
pub(crate) fn map1<A: Copy, R>(a: &[A; 32], f: impl Fn(A) -> R) -> [R; 32] {
    std::array::from_fn(|lane| f(a[lane]))
}

/// `f` in every lane.
#[inline(always)]
pub(crate) fn map2<A: Copy, B: Copy, R>(
    a: &[A; 32],
    b: &[B; 32],
    f: impl Fn(A, B) -> R,
) -> [R; 32] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

/// `f` in every lane.
#[inline(always)]
pub(crate) fn map3<A: Copy, R>(s: [&[A; 32]; 3], f: impl Fn(A, A, A) -> R) -> [R; 32] {
    std::array::from_fn(|lane| f(s[0][lane], s[1][lane], s[2][lane]))
}
