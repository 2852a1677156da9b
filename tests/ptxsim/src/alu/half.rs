//! f16 and bf16.

use half::{bf16, f16};

use super::{Words, float};
use crate::isa::{HalfFn, HalfKind, Round};

/// The value of a half.
#[inline(always)]
pub(crate) fn to_f32(kind: HalfKind, bits: u16) -> f32 {
    match kind {
        HalfKind::F16 => f16_to_f32(bits),
        HalfKind::Bf16 => f32::from_bits(u32::from(bits) << 16),
    }
}

/// Without branches, so that it vectorises.
#[inline(always)]
fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    // Scaled by 2^112 it is exact, subnormal or not.
    let scaled = (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits();
    let special = magnitude | 0x7f80_0000;
    f32::from_bits(sign | if bits & 0x7c00 == 0x7c00 { special } else { scaled })
}

/// The half nearest to `x`, ties to even.
pub(crate) fn from_f32(kind: HalfKind, x: f32) -> u16 {
    match kind {
        _ if x.is_nan() => 0x7fff,
        HalfKind::F16 => f16::from_f32(x).to_bits(),
        HalfKind::Bf16 => bf16::from_f32(x).to_bits(),
    }
}

/// Two f32 to a pair, `high` in the upper half.
pub(crate) fn pair(kind: HalfKind, relu: bool, high: u32, low: u32) -> u32 {
    let [high, low] = [high, low].map(f32::from_bits).map(|x| {
        let x = if relu && x <= 0.0 { 0.0 } else { x };
        u32::from(from_f32(kind, x))
    });
    high << 16 | low
}

/// The half nearest to `sum + error`, rounded once.
fn from_exact(kind: HalfKind, sum: f64, error: f64) -> u16 {
    if !sum.is_finite() {
        return from_f32(kind, sum as f32);
    }
    // To odd: what is lost still tells a tie from its neighbours.
    let cut = float::to_single(sum, error, Round::Zero);
    let exact = f64::from(cut) == sum && error == 0.0;
    let odd = if exact { cut } else { f32::from_bits(cut.to_bits() | 1) };
    from_f32(kind, odd)
}

fn one(f: HalfFn, kind: HalfKind, s: [u16; 3]) -> u16 {
    let [x, y, z] = s.map(|bits| f64::from(to_f32(kind, bits)));
    let (sum, error) = match f {
        HalfFn::Add => float::two_sum(x, y),
        HalfFn::Sub => float::two_sum(x, -y),
        HalfFn::Mul => (x * y, 0.0),
        HalfFn::Fma { .. } => float::two_sum(x * y, z),
        HalfFn::Abs => return s[0] & 0x7fff,
        HalfFn::Neg => return s[0] ^ 0x8000,
        HalfFn::Min { nan } | HalfFn::Max { nan } => {
            let unordered = x.is_nan() || y.is_nan();
            if (nan && unordered) || (x.is_nan() && y.is_nan()) {
                return 0x7fff;
            }
            let min = matches!(f, HalfFn::Min { .. });
            let first = y.is_nan() || (!x.is_nan() && below(s[0], s[1], x, y) == min);
            return if first { s[0] } else { s[1] };
        }
        HalfFn::Ex2 => (x.exp2(), 0.0),
        HalfFn::Tanh => (x.tanh(), 0.0),
    };
    match f {
        HalfFn::Fma { relu: true } if sum <= 0.0 => 0,
        _ => from_exact(kind, sum, error),
    }
}

/// -0 is below +0.
fn below(a: u16, b: u16, x: f64, y: f64) -> bool {
    x < y || (x == y && a > b)
}

/// A function of halves, alone or in pairs.
pub(crate) fn words(f: HalfFn, kind: HalfKind, packed: bool, sat: bool, s: [&Words; 3]) -> Words {
    let saturate = |bits: u16| {
        if sat { from_f32(kind, float::saturated(to_f32(kind, bits))) } else { bits }
    };
    crate::alu::each(|lane| {
        let at = |shift: u32| {
            let part = s.map(|words| (words[lane] >> shift) as u16);
            u32::from(saturate(one(f, kind, part)))
        };
        if packed { at(0) | at(16) << 16 } else { at(0) }
    })
}
