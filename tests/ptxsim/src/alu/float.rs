//! f32 and f64. Approximations are rounded from f64: they err less than the hardware.

use super::{Doubles, Words, map1, map2, map3};
use crate::isa::{FloatFn, Mode, Round};

/// A function of f32 with plain rounding.
#[inline(always)]
pub(crate) fn plain(f: FloatFn, s: [&Words; 3]) -> Words {
    let [a, b, c] = s;
    let one = |f: fn(f32) -> f32| map1(a, |a| f(f32::from_bits(a)).to_bits());
    match f {
        FloatFn::Add => map2(a, b, |a, b| (f32::from_bits(a) + f32::from_bits(b)).to_bits()),
        FloatFn::Sub => map2(a, b, |a, b| (f32::from_bits(a) - f32::from_bits(b)).to_bits()),
        FloatFn::Mul => map2(a, b, |a, b| (f32::from_bits(a) * f32::from_bits(b)).to_bits()),
        FloatFn::Fma => map3([a, b, c], |a, b, c| {
            f32::from_bits(a).mul_add(f32::from_bits(b), f32::from_bits(c)).to_bits()
        }),
        FloatFn::Div => map2(a, b, |a, b| (f32::from_bits(a) / f32::from_bits(b)).to_bits()),
        FloatFn::Min { nan } => map2(a, b, |a, b| pick(a, b, nan, true)),
        FloatFn::Max { nan } => map2(a, b, |a, b| pick(a, b, nan, false)),
        FloatFn::Abs => map1(a, |a| a & 0x7fff_ffff),
        FloatFn::Neg => map1(a, |a| a ^ 0x8000_0000),
        FloatFn::Tf32 => map1(a, tf32),
        FloatFn::CopySign => map2(a, b, |a, b| a & 0x7fff_ffff | b & 0x8000_0000),
        FloatFn::Sqrt => one(f32::sqrt),
        FloatFn::Rcp => one(f32::recip),
        FloatFn::Ex2 => one(|x| f64::from(x).exp2() as f32),
        FloatFn::Lg2 => one(|x| f64::from(x).log2() as f32),
        FloatFn::Rsqrt => one(|x| (1.0 / f64::from(x).sqrt()) as f32),
        FloatFn::Sin => one(|x| f64::from(x).sin() as f32),
        FloatFn::Cos => one(|x| f64::from(x).cos() as f32),
        FloatFn::Tanh => one(|x| f64::from(x).tanh() as f32),
    }
}

/// `min` and `max`: a NaN loses against a number unless `nan` is asked for; -0 is below +0.
#[inline(always)]
fn pick(a: u32, b: u32, nan: bool, min: bool) -> u32 {
    const NAN: u32 = 0x7fff_ffff;
    let (x, y) = (f32::from_bits(a), f32::from_bits(b));
    match (x.is_nan(), y.is_nan()) {
        (true, true) => NAN,
        (true, false) => {
            if nan {
                NAN
            } else {
                b
            }
        }
        (false, true) => {
            if nan {
                NAN
            } else {
                a
            }
        }
        (false, false) if x == y => {
            if min {
                a | b
            } else {
                a & b
            }
        }
        (false, false) => {
            if (x < y) == min {
                a
            } else {
                b
            }
        }
    }
}

/// A function of f32 with any modifiers.
pub(crate) fn with_mode(f: FloatFn, mode: Mode, s: [&Words; 3]) -> Words {
    let flush = |words: &Words| if mode.ftz { map1(words, flushed) } else { *words };
    let [a, b, c] = s.map(flush);
    let out = if mode.round == Round::Nearest {
        plain(f, [&a, &b, &c])
    } else {
        map3([&a, &b, &c], |a, b, c| directed(f, mode.round, [a, b, c].map(f32::from_bits)))
    };
    map1(&out, |out| {
        let out = if mode.ftz { flushed(out) } else { out };
        if mode.sat { saturated(f32::from_bits(out)).to_bits() } else { out }
    })
}

/// Subnormal numbers become zeros of their sign.
pub(crate) fn flushed(bits: u32) -> u32 {
    if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits }
}

/// To [0, 1], NaN to 0.
pub(crate) fn saturated(x: f32) -> f32 {
    if x > 0.0 { x.min(1.0) } else { 0.0 }
}

/// A result that is not rounded to the nearest.
fn directed(f: FloatFn, round: Round, [a, b, c]: [f32; 3]) -> u32 {
    let [x, y, z] = [a, b, c].map(f64::from);
    let (sum, error) = match f {
        FloatFn::Add => two_sum(x, y),
        FloatFn::Sub => two_sum(x, -y),
        // The product of two f32 is exact in f64.
        FloatFn::Mul => (x * y, 0.0),
        FloatFn::Fma => two_sum(x * y, z),
        FloatFn::Div => {
            let quotient = x / y;
            (quotient, -quotient.mul_add(y, -x) * y.signum())
        }
        FloatFn::Rcp => (1.0 / x, -(1.0 / x).mul_add(x, -1.0) * x.signum()),
        FloatFn::Sqrt => (x.sqrt(), -x.sqrt().mul_add(x.sqrt(), -x)),
        _ => (f64::from(f32::from_bits(plain(f, [&[a.to_bits(); 32]; 3])[0])), 0.0),
    };
    to_single(sum, error, round).to_bits()
}

/// The sum and what rounding took from it.
pub(crate) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    let error = (a - (sum - part)) + (b - part);
    (sum, if error.is_finite() { error } else { 0.0 })
}

/// `sum + error`, where `error` is far below the last digit of `sum`, as an f32.
pub(crate) fn to_single(sum: f64, error: f64, round: Round) -> f32 {
    let near = sum as f32;
    if near.is_nan() || round == Round::Nearest || (sum.is_infinite()) {
        return near;
    }
    let above = f64::from(near) > sum || (f64::from(near) == sum && error < 0.0);
    let below = f64::from(near) < sum || (f64::from(near) == sum && error > 0.0);
    match round {
        Round::Down if above => near.next_down(),
        Round::Up if below => near.next_up(),
        Round::Zero if sum > 0.0 && above => near.next_down(),
        Round::Zero if sum < 0.0 && below => near.next_up(),
        _ => near,
    }
}

/// The nearest number with 11 significant bits, halves away from zero. Infinity stays.
fn tf32(bits: u32) -> u32 {
    match f32::from_bits(bits).is_nan() {
        true => 0x7fff_ffff,
        false => (bits + 0x1000) & !0x1fff,
    }
}

/// A function of f64; only the nearest rounding is exact.
pub(crate) fn doubles(f: FloatFn, s: [&Doubles; 3]) -> Doubles {
    let [a, b, c] = s.map(|s| map1(s, f64::from_bits));
    let out: [f64; 32] = crate::alu::each(|lane| {
        let (a, b, c) = (a[lane], b[lane], c[lane]);
        match f {
            FloatFn::Add => a + b,
            FloatFn::Sub => a - b,
            FloatFn::Mul => a * b,
            FloatFn::Fma => a.mul_add(b, c),
            FloatFn::Div => a / b,
            FloatFn::Min { .. } => a.min(b),
            FloatFn::Max { .. } => a.max(b),
            // Of f32 alone, as the decoder has it.
            FloatFn::Tf32 => a,
            FloatFn::Abs => a.abs(),
            FloatFn::Neg => -a,
            FloatFn::CopySign => a.copysign(b),
            FloatFn::Sqrt => a.sqrt(),
            FloatFn::Rcp => a.recip(),
            FloatFn::Rsqrt => a.sqrt().recip(),
            FloatFn::Ex2 => a.exp2(),
            FloatFn::Lg2 => a.log2(),
            FloatFn::Sin => a.sin(),
            FloatFn::Cos => a.cos(),
            FloatFn::Tanh => a.tanh(),
        }
    });
    map1(&out, f64::to_bits)
}
