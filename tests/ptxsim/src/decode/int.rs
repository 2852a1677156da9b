//! Integers, bits and predicates.

use super::{Decode, Decoder};
use crate::isa::{Bool, CountFn, IntFn, LongFn, Narrow, Op, ShiftFn, Type};

pub(super) fn decode(d: &mut Decoder<'_, '_>) -> Decode {
    let base = d.statement.base;
    let ty = d.ty()?;
    match (base, ty) {
        ("and" | "or" | "xor" | "not", Type::Pred) => logic(d, base),
        ("mul" | "mad", _) if d.take("wide") => mul_wide(d, base, ty),
        ("popc" | "clz" | "bfind", _) if ty.bits() == 64 => {
            let f = match base {
                "popc" => CountFn::Popc,
                "clz" => CountFn::Clz,
                _ => CountFn::Find { signed: ty.is_signed(), shift: d.take("shiftamt") },
            };
            Ok(Op::Count { f, d: d.word(0)?, a: d.double(1)? })
        }
        ("bfi", _) => {
            let (to, a, b) = (d.reg(0, ty.bits())?, d.reg(1, ty.bits())?, d.reg(2, ty.bits())?);
            Ok(Op::Insert { d: to, a, b, pos: d.word(3)?, len: d.word(4)? })
        }
        ("bfe", _) if ty.bits() == 64 => Ok(Op::Extract64 {
            signed: ty.is_signed(),
            d: d.double(0)?,
            a: d.double(1)?,
            pos: d.word(2)?,
            len: d.word(3)?,
        }),
        ("shl" | "shr", _) if ty.bits() == 64 => {
            let f = match (base, ty.is_signed()) {
                ("shl", _) => ShiftFn::Left,
                (_, true) => ShiftFn::RightS,
                (_, false) => ShiftFn::RightU,
            };
            Ok(Op::Shift { f, d: d.double(0)?, a: d.double(1)?, by: d.word(2)? })
        }
        _ if ty.bits() == 64 => long(d, base, ty),
        _ => int(d, base, ty),
    }
}

fn logic(d: &mut Decoder<'_, '_>, base: &str) -> Decode {
    if base == "not" {
        let mut a = d.condition(1)?;
        a.flip = !a.flip;
        return Ok(Op::MovePred { d: d.pred(0)?, a });
    }
    let f = match base {
        "and" => Bool::And,
        "or" => Bool::Or,
        _ => Bool::Xor,
    };
    Ok(Op::PredLogic { f, d: d.pred(0)?, a: d.condition(1)?, b: d.condition(2)? })
}

fn mul_wide(d: &mut Decoder<'_, '_>, base: &str, ty: Type) -> Decode {
    let signed = ty.is_signed();
    if ty.bits() == 16 {
        let f = if base == "mad" { IntFn::Mad } else { IntFn::Mul };
        // Only the factors are narrow; a narrow addend would be wrong.
        if base == "mad" {
            return Err("mad.wide of 16 bits is not implemented".into());
        }
        return Ok(Op::Int { f, narrow: narrow(ty, false), d: d.word(0)?, s: d.words(1, 2)? });
    }
    let c = if base == "mad" { d.double(3)? } else { d.double_constant(0)? };
    Ok(Op::MulWide { signed, d: d.double(0)?, a: d.word(1)?, b: d.word(2)?, c })
}

fn narrow(ty: Type, cut: bool) -> Narrow {
    match (ty.bits(), ty.is_signed()) {
        (16, true) => Narrow::Signed { cut },
        (16, false) => Narrow::Unsigned { cut },
        _ => Narrow::No,
    }
}

fn int(d: &mut Decoder<'_, '_>, base: &str, ty: Type) -> Decode {
    let signed = ty.is_signed();
    let pick = |u, s| if signed { s } else { u };
    let (f, count) = match base {
        "add" => (IntFn::Add, 2),
        "sub" => (IntFn::Sub, 2),
        "mul" | "mad" => return multiply(d, base, ty),
        "div" => (pick(IntFn::DivU, IntFn::DivS), 2),
        "rem" => (pick(IntFn::RemU, IntFn::RemS), 2),
        "min" => (pick(IntFn::MinU, IntFn::MinS), 2),
        "max" => (pick(IntFn::MaxU, IntFn::MaxS), 2),
        "abs" => (IntFn::Abs, 1),
        "neg" => (IntFn::Neg, 1),
        "and" => (IntFn::And, 2),
        "or" => (IntFn::Or, 2),
        "xor" => (IntFn::Xor, 2),
        "not" => (IntFn::Not, 1),
        "cnot" => (IntFn::Cnot, 1),
        // A count of shifts is a word whatever the type.
        "shl" => (IntFn::Shl, 2),
        "shr" => (pick(IntFn::ShrU, IntFn::ShrS), 2),
        "sad" => (pick(IntFn::SadU, IntFn::SadS), 3),
        _ => return bits(d, base, signed),
    };
    Ok(Op::Int { f, narrow: narrow(ty, true), d: d.word(0)?, s: d.words(1, count)? })
}

fn multiply(d: &mut Decoder<'_, '_>, base: &str, ty: Type) -> Decode {
    let (hi, lo) = (d.take("hi"), d.take("lo"));
    if hi == lo || (hi && ty.bits() == 16) {
        return Err("expected `.lo`, or `.hi` of 32 bits".into());
    }
    let f = match (base, hi, ty.is_signed()) {
        ("mul", false, _) => IntFn::Mul,
        ("mul", true, true) => IntFn::MulHiS,
        ("mul", true, false) => IntFn::MulHiU,
        (_, false, _) => IntFn::Mad,
        (_, true, true) => IntFn::MadHiS,
        (_, true, false) => IntFn::MadHiU,
    };
    let count = if base == "mad" { 3 } else { 2 };
    Ok(Op::Int { f, narrow: narrow(ty, true), d: d.word(0)?, s: d.words(1, count)? })
}

/// Those that know 32 bits only.
fn bits(d: &mut Decoder<'_, '_>, base: &str, signed: bool) -> Decode {
    let (f, count) = match base {
        "popc" => (IntFn::Popc, 1),
        "clz" => (IntFn::Clz, 1),
        "brev" => (IntFn::Brev, 1),
        "bfind" => (IntFn::Find { signed, shift: d.take("shiftamt") }, 1),
        "bfe" => (if signed { IntFn::ExtractS } else { IntFn::ExtractU }, 3),
        "prmt" => (IntFn::Permute, 3),
        "lop3" => {
            let crate::parse::Operand::Integer(table @ 0..=255) = *d.operand(4)? else {
                return Err("expected a table of 8 bits".into());
            };
            (IntFn::Logic(table as u8), 3)
        }
        "shf" => {
            let left = d.take("l");
            let right = d.take("r");
            let clamp = d.take("clamp");
            if left == right || clamp == d.take("wrap") {
                return Err("expected `.l` or `.r`, `.wrap` or `.clamp`".into());
            }
            (if left { IntFn::FunnelL { clamp } } else { IntFn::FunnelR { clamp } }, 3)
        }
        _ => return Err(format!("`{base}` is not implemented")),
    };
    Ok(Op::Int { f, narrow: Narrow::No, d: d.word(0)?, s: d.words(1, count)? })
}

fn long(d: &mut Decoder<'_, '_>, base: &str, ty: Type) -> Decode {
    let pick = |u, s| if ty.is_signed() { s } else { u };
    let (f, count) = match base {
        "add" => (LongFn::Add, 2),
        "sub" => (LongFn::Sub, 2),
        "mul" if d.take("lo") => (LongFn::Mul, 2),
        "mul" if d.take("hi") => (pick(LongFn::MulHiU, LongFn::MulHiS), 2),
        "mad" if d.take("lo") => (LongFn::Mad, 3),
        "div" => (pick(LongFn::DivU, LongFn::DivS), 2),
        "rem" => (pick(LongFn::RemU, LongFn::RemS), 2),
        "min" => (pick(LongFn::MinU, LongFn::MinS), 2),
        "max" => (pick(LongFn::MaxU, LongFn::MaxS), 2),
        "abs" => (LongFn::Abs, 1),
        "neg" => (LongFn::Neg, 1),
        "and" => (LongFn::And, 2),
        "or" => (LongFn::Or, 2),
        "xor" => (LongFn::Xor, 2),
        "not" => (LongFn::Not, 1),
        "brev" => (LongFn::Brev, 1),
        _ => return Err(format!("`{base}` of 64 bits is not implemented")),
    };
    Ok(Op::Long { f, d: d.double(0)?, s: d.doubles(1, count)? })
}
