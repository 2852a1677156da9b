//! Comparisons.

use super::half;
use crate::isa::{Bool, Cmp, Compare, Type};

/// The lanes where `a` compares to `b` as asked.
pub(crate) fn compare(c: &Compare, a: impl Fn(usize) -> u64, b: impl Fn(usize) -> u64) -> u32 {
    match c.ty {
        Type::F32 => floats(c, |lane| single(c, a(lane)), |lane| single(c, b(lane))),
        Type::F64 => floats(c, |lane| f64::from_bits(a(lane)), |lane| f64::from_bits(b(lane))),
        Type::Half(kind) => floats(
            c,
            |lane| half::to_f32(kind, a(lane) as u16),
            |lane| half::to_f32(kind, b(lane) as u16),
        ),
        Type::Signed(16) => integers(c.cmp, |lane| a(lane) as i16, |lane| b(lane) as i16),
        Type::Signed(32) => integers(c.cmp, |lane| a(lane) as i32, |lane| b(lane) as i32),
        Type::Signed(_) => integers(c.cmp, |lane| a(lane) as i64, |lane| b(lane) as i64),
        ty if ty.bits() == 16 => integers(c.cmp, |lane| a(lane) as u16, |lane| b(lane) as u16),
        ty if ty.bits() == 32 => integers(c.cmp, |lane| a(lane) as u32, |lane| b(lane) as u32),
        _ => integers(c.cmp, a, b),
    }
}

fn single(c: &Compare, bits: u64) -> f32 {
    let bits = bits as u32;
    f32::from_bits(if c.ftz { super::float::flushed(bits) } else { bits })
}

#[inline(always)]
fn mask(f: impl Fn(usize) -> bool) -> u32 {
    (0..32).fold(0, |mask, lane| mask | u32::from(f(lane)) << lane)
}

#[inline(always)]
fn integers<T: Ord>(cmp: Cmp, a: impl Fn(usize) -> T, b: impl Fn(usize) -> T) -> u32 {
    match cmp {
        Cmp::Eq => mask(|lane| a(lane) == b(lane)),
        Cmp::Ne => mask(|lane| a(lane) != b(lane)),
        Cmp::Lt => mask(|lane| a(lane) < b(lane)),
        Cmp::Le => mask(|lane| a(lane) <= b(lane)),
        Cmp::Gt => mask(|lane| a(lane) > b(lane)),
        Cmp::Ge => mask(|lane| a(lane) >= b(lane)),
        Cmp::Num => !0,
        Cmp::Nan => 0,
    }
}

#[inline(always)]
fn floats<T: PartialOrd>(c: &Compare, a: impl Fn(usize) -> T, b: impl Fn(usize) -> T) -> u32 {
    let nan = mask(|lane| a(lane).partial_cmp(&b(lane)).is_none());
    let ordered = match c.cmp {
        Cmp::Eq => mask(|lane| a(lane) == b(lane)),
        Cmp::Ne => mask(|lane| a(lane) != b(lane)) & !nan,
        Cmp::Lt => mask(|lane| a(lane) < b(lane)),
        Cmp::Le => mask(|lane| a(lane) <= b(lane)),
        Cmp::Gt => mask(|lane| a(lane) > b(lane)),
        Cmp::Ge => mask(|lane| a(lane) >= b(lane)),
        Cmp::Num => !nan,
        Cmp::Nan => 0,
    };
    if c.unordered { ordered | nan } else { ordered }
}

/// Two masks joined.
pub(crate) fn join(f: Bool, a: u32, b: u32) -> u32 {
    match f {
        Bool::And => a & b,
        Bool::Or => a | b,
        Bool::Xor => a ^ b,
    }
}
