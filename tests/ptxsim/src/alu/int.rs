//! Integers and bits.

use super::{Doubles, Words, map1, map2, map3};
use crate::isa::{CountFn, IntFn, LongFn, Narrow, ShiftFn};

/// A function of words.
#[inline(always)]
pub(crate) fn words(f: IntFn, s: [&Words; 3]) -> Words {
    let [a, b, c] = s;
    match f {
        IntFn::Add => map2(a, b, u32::wrapping_add),
        IntFn::Sub => map2(a, b, u32::wrapping_sub),
        IntFn::Mul => map2(a, b, u32::wrapping_mul),
        IntFn::Mad => map3([a, b, c], |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        IntFn::MulHiU => map2(a, b, high_u),
        IntFn::MulHiS => map2(a, b, high_s),
        IntFn::MadHiU => map3([a, b, c], |a, b, c| high_u(a, b).wrapping_add(c)),
        IntFn::MadHiS => map3([a, b, c], |a, b, c| high_s(a, b).wrapping_add(c)),
        // The hardware gives all ones for a division by zero.
        IntFn::DivU => map2(a, b, |a, b| a.checked_div(b).unwrap_or(!0)),
        IntFn::DivS => map2(a, b, |a, b| divide(a, b, i32::wrapping_div, !0)),
        IntFn::RemU => map2(a, b, |a, b| a.checked_rem(b).unwrap_or(a)),
        IntFn::RemS => map2(a, b, |a, b| divide(a, b, i32::wrapping_rem, a)),
        IntFn::MinU => map2(a, b, u32::min),
        IntFn::MinS => map2(a, b, |a, b| (a as i32).min(b as i32) as u32),
        IntFn::MaxU => map2(a, b, u32::max),
        IntFn::MaxS => map2(a, b, |a, b| (a as i32).max(b as i32) as u32),
        IntFn::Abs => map1(a, |a| (a as i32).wrapping_abs() as u32),
        IntFn::Neg => map1(a, u32::wrapping_neg),
        IntFn::And => map2(a, b, |a, b| a & b),
        IntFn::Or => map2(a, b, |a, b| a | b),
        IntFn::Xor => map2(a, b, |a, b| a ^ b),
        IntFn::Not => map1(a, |a| !a),
        IntFn::Cnot => map1(a, |a| u32::from(a == 0)),
        IntFn::Shl => map2(a, b, |a, b| a.checked_shl(b).unwrap_or(0)),
        IntFn::ShrU => map2(a, b, |a, b| a.checked_shr(b).unwrap_or(0)),
        IntFn::ShrS => map2(a, b, |a, b| (a as i32 >> b.min(31)) as u32),
        _ => bits(f, s),
    }
}

#[inline(always)]
fn bits(f: IntFn, [a, b, c]: [&Words; 3]) -> Words {
    match f {
        IntFn::Popc => map1(a, u32::count_ones),
        IntFn::Clz => map1(a, u32::leading_zeros),
        IntFn::Brev => map1(a, u32::reverse_bits),
        IntFn::Find { signed, shift } => map1(a, |a| find(a.into(), 32, signed, shift)),
        IntFn::ExtractU => {
            map3([a, b, c], |a, pos, len| extract(a.into(), pos, len, 32, false) as u32)
        }
        IntFn::ExtractS => {
            map3([a, b, c], |a, pos, len| extract(a.into(), pos, len, 32, true) as u32)
        }
        IntFn::Permute => map3([a, b, c], permute),
        IntFn::Logic(table) => map3([a, b, c], |a, b, c| logic(table, a, b, c)),
        IntFn::FunnelL { clamp } => map3([a, b, c], |a, b, c| {
            let by = if clamp { c.min(32) } else { c % 32 };
            ((join(a, b) << by) >> 32) as u32
        }),
        IntFn::FunnelR { clamp } => map3([a, b, c], |a, b, c| {
            let by = if clamp { c.min(32) } else { c % 32 };
            (join(a, b) >> by) as u32
        }),
        IntFn::SadU => map3([a, b, c], |a, b, c| c.wrapping_add(a.abs_diff(b))),
        _ => map3([a, b, c], |a, b, c| c.wrapping_add((a as i32).abs_diff(b as i32))),
    }
}

fn high_u(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

fn high_s(a: u32, b: u32) -> u32 {
    ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32
}

fn divide(a: u32, b: u32, f: impl Fn(i32, i32) -> i32, by_zero: u32) -> u32 {
    if b == 0 { by_zero } else { f(a as i32, b as i32) as u32 }
}

fn join(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The place of the highest bit that differs from the sign; all ones where there is none.
fn find(a: u64, bits: u32, signed: bool, shift: bool) -> u32 {
    let low = u64::MAX >> (64 - bits);
    let negative = signed && a >> (bits - 1) & 1 != 0;
    let a = if negative { !a & low } else { a & low };
    match a.checked_ilog2() {
        None => !0,
        Some(at) if shift => bits - 1 - at,
        Some(at) => at,
    }
}

/// `bfe`: bits past the top repeat the sign, or are zero.
fn extract(a: u64, pos: u32, len: u32, bits: u32, signed: bool) -> u64 {
    let (pos, len) = (pos & 255, len & 255);
    let top = bits - 1;
    let sign = signed && len > 0 && a >> (pos + len - 1).min(top) & 1 != 0;
    let kept = if pos > top { 0 } else { a >> pos };
    let mask = if len >= 64 { !0 } else { (1u64 << len) - 1 };
    // Bits of the field that lie past the top.
    let held = bits.saturating_sub(pos).min(len);
    let held_mask = if held >= 64 { !0 } else { (1u64 << held) - 1 };
    let value = kept & mask & held_mask;
    if sign { value | !held_mask } else { value }
}

/// `bfi`.
pub(crate) fn insert(a: u64, b: u64, pos: u32, len: u32, bits: u32) -> u64 {
    let (pos, len) = (pos & 255, len & 255);
    if pos >= bits || len == 0 {
        return b;
    }
    let mask = if len >= 64 { !0 } else { (1u64 << len) - 1 } << pos;
    b & !mask | a << pos & mask
}

/// `prmt`: each digit of `by` names a byte of `b:a`, with its sign spread where bit 3 is set.
fn permute(a: u32, b: u32, by: u32) -> u32 {
    let bytes = join(a, b).to_le_bytes();
    u32::from_le_bytes(std::array::from_fn(|i| {
        let digit = by >> (4 * i) & 15;
        let byte = bytes[digit as usize & 7];
        if digit & 8 != 0 { ((byte as i8) >> 7) as u8 } else { byte }
    }))
}

fn logic(table: u8, a: u32, b: u32, c: u32) -> u32 {
    (0..8).filter(|i| table >> i & 1 != 0).fold(0, |sum, i| {
        let pick = |x: u32, bit: u32| if i >> bit & 1 != 0 { x } else { !x };
        sum | (pick(a, 2) & pick(b, 1) & pick(c, 0))
    })
}

/// Operands of 16 bits, widened.
pub(crate) fn widen(narrow: Narrow, a: &Words) -> Words {
    match narrow {
        Narrow::No => *a,
        Narrow::Unsigned { .. } => map1(a, |a| a & 0xffff),
        Narrow::Signed { .. } => map1(a, |a| i32::from(a as i16) as u32),
    }
}

/// A function of double words.
pub(crate) fn doubles(f: LongFn, [a, b, c]: [&Doubles; 3]) -> Doubles {
    let signed = |f: fn(i64, i64) -> i64| map2(a, b, |a, b| f(a as i64, b as i64) as u64);
    match f {
        LongFn::Add => map2(a, b, u64::wrapping_add),
        LongFn::Sub => map2(a, b, u64::wrapping_sub),
        LongFn::Mul => map2(a, b, u64::wrapping_mul),
        LongFn::Mad => map3([a, b, c], |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
        LongFn::MulHiU => map2(a, b, |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64),
        LongFn::MulHiS => signed(|a, b| ((i128::from(a) * i128::from(b)) >> 64) as i64),
        LongFn::DivU => map2(a, b, |a, b| a.checked_div(b).unwrap_or(!0)),
        LongFn::DivS => signed(|a, b| if b == 0 { -1 } else { a.wrapping_div(b) }),
        LongFn::RemU => map2(a, b, |a, b| a.checked_rem(b).unwrap_or(a)),
        LongFn::RemS => signed(|a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
        LongFn::MinU => map2(a, b, u64::min),
        LongFn::MinS => signed(i64::min),
        LongFn::MaxU => map2(a, b, u64::max),
        LongFn::MaxS => signed(i64::max),
        LongFn::Abs => map1(a, |a| (a as i64).wrapping_abs() as u64),
        LongFn::Neg => map1(a, u64::wrapping_neg),
        LongFn::And => map2(a, b, |a, b| a & b),
        LongFn::Or => map2(a, b, |a, b| a | b),
        LongFn::Xor => map2(a, b, |a, b| a ^ b),
        LongFn::Not => map1(a, |a| !a),
        LongFn::Brev => map1(a, u64::reverse_bits),
    }
}

/// Shifts of 64 bits; a count past the end takes every bit out.
pub(crate) fn shift(f: ShiftFn, a: &Doubles, by: &Words) -> Doubles {
    match f {
        ShiftFn::Left => map2(a, by, |a, by| a.checked_shl(by).unwrap_or(0)),
        ShiftFn::RightU => map2(a, by, |a, by| a.checked_shr(by).unwrap_or(0)),
        ShiftFn::RightS => map2(a, by, |a, by| (a as i64 >> by.min(63)) as u64),
    }
}

/// From 64 bits to a word.
pub(crate) fn count(f: CountFn, a: &Doubles) -> Words {
    match f {
        CountFn::Popc => map1(a, u64::count_ones),
        CountFn::Clz => map1(a, u64::leading_zeros),
        CountFn::Find { signed, shift } => map1(a, |a| find(a, 64, signed, shift)),
    }
}

/// `bfe` of 64 bits.
pub(crate) fn extract64(signed: bool, a: u64, pos: u32, len: u32) -> u64 {
    extract(a, pos, len, 64, signed)
}
