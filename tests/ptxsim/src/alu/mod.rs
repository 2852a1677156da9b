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

/// `f` of every lane. A plain loop: it is inlined into versions for other instruction sets, which
/// `array::from_fn` is not.
#[inline(always)]
pub(crate) fn each<R: Copy + Default>(f: impl Fn(usize) -> R) -> [R; 32] {
    let mut out = [R::default(); 32];
    for (lane, out) in out.iter_mut().enumerate() {
        *out = f(lane);
    }
    out
}

/// `f` in every lane.
#[inline(always)]
pub(crate) fn map1<A: Copy, R: Copy + Default>(a: &[A; 32], f: impl Fn(A) -> R) -> [R; 32] {
    each(|lane| f(a[lane]))
}

/// `f` in every lane.
#[inline(always)]
pub(crate) fn map2<A: Copy, B: Copy, R: Copy + Default>(
    a: &[A; 32],
    b: &[B; 32],
    f: impl Fn(A, B) -> R,
) -> [R; 32] {
    each(|lane| f(a[lane], b[lane]))
}

/// `f` in every lane.
#[inline(always)]
pub(crate) fn map3<A: Copy, R: Copy + Default>(
    s: [&[A; 32]; 3],
    f: impl Fn(A, A, A) -> R,
) -> [R; 32] {
    each(|lane| f(s[0][lane], s[1][lane], s[2][lane]))
}
