//! `cvt`.

use super::{Words, float, half, map1};
use crate::isa::{Cvt, HalfKind, Round, Type};

/// The bits of `bits` converted.
#[inline(always)]
pub(crate) fn convert(c: &Cvt, bits: u64) -> u64 {
    match (c.from.is_int(), c.to.is_int()) {
        (true, true) => int_to_int(c, bits),
        (true, false) => int_to_float(c, integer(c.from, bits)),
        (false, true) => widened(c, float_to_int(c, value(c, bits))),
        (false, false) => float_to_float(c, value(c, bits)),
    }
}

/// The value of an integer type.
#[inline(always)]
fn integer(ty: Type, bits: u64) -> i128 {
    let unused = 64 - ty.bits();
    if ty.is_signed() {
        i128::from((bits << unused) as i64 >> unused)
    } else {
        i128::from(bits << unused >> unused)
    }
}

#[inline(always)]
fn int_to_int(c: &Cvt, bits: u64) -> u64 {
    let value = integer(c.from, bits);
    let value = if c.sat { value.clamp(least(c.to), most(c.to)) } else { value };
    widened(c, value)
}

/// Cut to the type, then extended to the register.
#[inline(always)]
fn widened(c: &Cvt, value: i128) -> u64 {
    let value = integer(c.to, value as u64) as u64;
    value & u64::MAX >> (64 - c.to_bits.max(8))
}

fn least(ty: Type) -> i128 {
    if ty.is_signed() { -(1 << (ty.bits() - 1)) } else { 0 }
}

fn most(ty: Type) -> i128 {
    (1 << (ty.bits() - u32::from(ty.is_signed()))) - 1
}

fn int_to_float(c: &Cvt, value: i128) -> u64 {
    match (c.to, c.round) {
        (Type::F32, Round::Nearest) => u64::from((value as f32).to_bits()),
        (Type::F32, round) => {
            let (near, wide) = (value as f64, value);
            let error = (wide - near as i128) as f64;
            u64::from(float::to_single(near, error, round).to_bits())
        }
        (Type::Half(kind), _) => u64::from(half::from_f32(kind, value as f32)),
        _ => (value as f64).to_bits(),
    }
}

/// The value of a float type.
fn value(c: &Cvt, bits: u64) -> f64 {
    match c.from {
        Type::F32 if c.ftz => f32::from_bits(float::flushed(bits as u32)).into(),
        Type::F32 => f32::from_bits(bits as u32).into(),
        Type::Half(kind) => half::to_f32(kind, bits as u16).into(),
        _ => f64::from_bits(bits),
    }
}

fn rounded(round: Round, x: f64) -> f64 {
    match round {
        Round::Nearest => x.round_ties_even(),
        Round::Zero => x.trunc(),
        Round::Down => x.floor(),
        Round::Up => x.ceil(),
    }
}

/// Always saturates; NaN gives 0, or the top bit alone for 64 bits.
fn float_to_int(c: &Cvt, x: f64) -> i128 {
    if x.is_nan() {
        return if c.to.bits() == 64 { 1 << 63 } else { 0 };
    }
    (rounded(c.round, x) as i128).clamp(least(c.to), most(c.to))
}

fn float_to_float(c: &Cvt, x: f64) -> u64 {
    let x = if c.whole { rounded(c.round, x) } else { x };
    let x = if c.relu && x <= 0.0 { 0.0 } else { x };
    let round = if c.whole { Round::Nearest } else { c.round };
    match c.to {
        Type::F32 => {
            let y = float::to_single(x, 0.0, round);
            let y = if c.sat { float::saturated(y) } else { y };
            let bits = if y.is_nan() { 0x7fff_ffff } else { y.to_bits() };
            u64::from(if c.ftz { float::flushed(bits) } else { bits })
        }
        Type::Half(kind) => u64::from(to_half(c, kind, x, round)),
        _ => {
            if c.sat && (x.is_nan() || x <= 0.0) {
                0
            } else if c.sat {
                x.min(1.0).to_bits()
            } else {
                x.to_bits()
            }
        }
    }
}

fn to_half(c: &Cvt, kind: HalfKind, x: f64, round: Round) -> u16 {
    let x = if c.sat { f64::from(float::saturated(x as f32)) } else { x };
    let near = half::from_f32(kind, x as f32);
    let back = f64::from(half::to_f32(kind, near));
    if round == Round::Zero && back.abs() > x.abs() { near - 1 } else { near }
}

/// `cvt` within words, the frequent ones without a choice in the loop.
#[inline(always)]
pub(crate) fn words(c: &Cvt, a: &Words) -> Words {
    let plain = !c.sat && !c.ftz && !c.relu && c.round == Round::Nearest && !c.whole;
    match (c.to, c.from) {
        (Type::F32, Type::Half(kind)) if plain => {
            map1(a, |a| half::to_f32(kind, a as u16).to_bits())
        }
        (Type::F32, Type::Signed(32)) if plain => map1(a, |a| (a as i32 as f32).to_bits()),
        (Type::F32, Type::Unsigned(32)) if plain => map1(a, |a| (a as f32).to_bits()),
        (Type::Unsigned(16), Type::Unsigned(32) | Type::Signed(32)) if !c.sat => {
            map1(a, |a| a & 0xffff)
        }
        _ => map1(a, |a| convert(c, a.into()) as u32),
    }
}
