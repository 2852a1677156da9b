//! The hot loops, compiled for AVX2, FMA and F16C too and chosen at run time. Results are equal:
//! all of them are plain Rust, and a fused multiply-add is one everywhere.

#![allow(unsafe_code)]

use crate::Tensor;
use crate::alu::{self, Words};
use crate::isa::{Cvt, Factors, FloatFn, IntFn};
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
    /// `mma` of m16n8k16 or m16n8k8.
    fn mma(
        tensor: Tensor, factors: Factors, a: [&Words; 4], b: [&Words; 2], c: [&Words; 4]
    ) -> [Words; 4] = tensor::mma
}

/// `x` without its fraction; callers bound it by 2^30, and no check keeps this from being one
/// instruction for eight.
#[inline(always)]
pub(crate) fn whole(x: f32) -> i32 {
    // SAFETY: callers pass finite numbers below 2^30.
    unsafe { x.to_int_unchecked() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{HalfKind, Round, Type};

    /// Every kind of bits, different in each lane.
    fn inputs(seed: u64) -> [Words; 4] {
        let mut random = fastrand::Rng::with_seed(seed);
        std::array::from_fn(|_| {
            std::array::from_fn(|lane| match lane % 4 {
                0 => random.u32(..),
                1 => random.u32(..64),
                2 => (random.f32() * 8.0 - 4.0).to_bits(),
                _ => random.u32(..) & 0xbfff_bfff,
            })
        })
    }

    /// Fails unless both are equal; one NaN is as good as another.
    fn same(what: &str, fast: &Words, plain: &Words) {
        for (fast, plain) in fast.iter().zip(plain) {
            let nan = [fast, plain].iter().all(|&&bits| f32::from_bits(bits).is_nan());
            assert!(fast == plain || nan, "{what}: {fast:#x} and {plain:#x}");
        }
    }

    #[test]
    fn words_are_equal_however_they_are_compiled() {
        use IntFn::*;
        let all = [
            Add,
            Sub,
            Mul,
            Mad,
            MulHiU,
            MulHiS,
            MadHiU,
            MadHiS,
            DivU,
            DivS,
            RemU,
            RemS,
            MinU,
            MinS,
            MaxU,
            MaxS,
            Abs,
            Neg,
            And,
            Or,
            Xor,
            Not,
            Cnot,
            Shl,
            ShrU,
            ShrS,
            Popc,
            Clz,
            Brev,
            ExtractU,
            ExtractS,
            Permute,
            Logic(0x96),
            SadU,
            SadS,
        ];
        for seed in 0..20 {
            let [a, b, c, _] = inputs(seed);
            for f in all {
                let plain = alu::int::words(f, [&a, &b, &c]);
                assert_eq!(ints(f, [&a, &b, &c]), plain, "{f:?}");
            }
        }
    }

    #[test]
    fn floats_are_equal_however_they_are_compiled() {
        use FloatFn::*;
        let all = [
            Add,
            Sub,
            Mul,
            Fma,
            Div,
            Min { nan: false },
            Max { nan: true },
            Abs,
            Neg,
            CopySign,
            Ex2,
            Lg2,
            Rcp,
            Rsqrt,
            Sqrt,
            Sin,
            Cos,
            Tanh,
            Tf32,
        ];
        let from = [Type::Half(HalfKind::F16), Type::Signed(32), Type::Unsigned(32)];
        for seed in 0..20 {
            let [a, b, c, _] = inputs(seed);
            for f in all {
                let plain = alu::float::plain(f, [&a, &b, &c]);
                same(&format!("{f:?}"), &floats(f, [&a, &b, &c]), &plain);
            }
            for from in from {
                let (to, round, to_bits) = (Type::F32, Round::Nearest, 32);
                let (whole, ftz, sat, relu) = (false, false, false, false);
                let cvt = Cvt { to, from, round, whole, ftz, sat, relu, to_bits };
                same("cvt", &convert(&cvt, &a), &alu::convert::words(&cvt, &a));
            }
        }
    }

    #[test]
    fn products_are_equal_however_they_are_compiled() {
        let kinds = [Factors::Half(HalfKind::F16), Factors::Half(HalfKind::Bf16), Factors::Tf32];
        for tensor in [Tensor::Exact, Tensor::Ampere, Tensor::Hopper] {
            for (kind, seed) in kinds.into_iter().flat_map(|kind| (0..20).map(move |i| (kind, i))) {
                let ([a, b, c, d], [e, f, ..]) = (inputs(seed), inputs(seed + 100));
                let sums = [&c, &d, &e, &f];
                let fast = mma(tensor, kind, [&a, &b, &c, &d], [&e, &f], sums);
                let plain = tensor::mma(tensor, kind, [&a, &b, &c, &d], [&e, &f], sums);
                fast.iter().zip(&plain).for_each(|(fast, plain)| same("mma", fast, plain));
            }
        }
    }
}
