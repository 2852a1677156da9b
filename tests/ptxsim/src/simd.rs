//! The hot loops, compiled for AVX2, FMA and F16C too and chosen at run time. Results are equal:
//! all of them are plain Rust, and a fused multiply-add is one everywhere.

#![allow(unsafe_code)]

use crate::alu::{self, Words};
use crate::isa::{Cvt, FloatFn, HalfKind, IntFn};
use crate::tensor;

/// Whether the fast versions may run.
#[cfg(target_arch = "x86_64")]
#[inline]
fn available() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("fma") && has!("f16c")
}

macro_rules! vectorised {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty = $body:path) => {
        $(#[$doc])*
        #[inline]
        pub(crate) fn $name($($arg: $ty),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn fast($($arg: $ty),*) -> $out {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            if available() {
                // SAFETY: the machine has what `fast` is compiled for.
                return unsafe { fast($($arg),*) };
            }
            $body($($arg),*)
        }
    };
}

vectorised! {
    /// A function of words.
    fn ints(f: IntFn, s: [&Words; 3]) -> Words = alu::int::words
}

vectorised! {
    /// A function of f32.
    fn floats(f: FloatFn, s: [&Words; 3]) -> Words = alu::float::plain
}

vectorised! {
    /// A conversion within words.
    fn convert(cvt: &Cvt, a: &Words) -> Words = alu::convert::words
}

vectorised! {
    /// `mma` of m16n8k16.
    fn mma(kind: HalfKind, a: [&Words; 4], b: [&Words; 2], c: [&Words; 4]) -> [Words; 4]
        = tensor::mma
}
