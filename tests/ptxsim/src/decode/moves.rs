//! Moves, conversions, comparisons and choices.

use super::{Decode, Decoder};
use crate::isa::{
    Bool, Cmp, Compare, CompareOut, Cvt, FloatFn, HalfKind, Mode, Op, Reg, Round, Space, Type,
};
use crate::parse::{Names, Operand, Place, Slot};

pub(super) fn decode(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    match d.statement.base {
        "mov" => mov(d, names),
        "cvta" => cvta(d, names),
        "cvt" => cvt(d),
        "selp" => {
            let bits = d.ty()?.bits();
            let by = d.condition(3)?;
            let (mut a, mut b) = (d.reg(1, bits)?, d.reg(2, bits)?);
            if by.flip != 0 {
                std::mem::swap(&mut a, &mut b);
            }
            Ok(Op::Select { d: d.reg(0, bits)?, a, b, by: by.pred })
        }
        "slct" => {
            let float = d.ty()? == Type::F32;
            let bits = d.ty()?.bits();
            d.take("ftz");
            let (to, a, b) = (d.reg(0, bits)?, d.reg(1, bits)?, d.reg(2, bits)?);
            Ok(Op::SelectSign { float, d: to, a, b, c: d.word(3)? })
        }
        _ => compare(d),
    }
}

fn mov(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    let ty = d.ty()?;
    if ty == Type::Pred {
        return Ok(Op::MovePred { d: d.pred(0)?, a: d.condition(1)? });
    }
    let bits = ty.bits();
    match (d.operand(0)?, d.operand(1)?) {
        (Operand::List(parts), _) => {
            let part_bits = bits / parts.len().max(1) as u32;
            Ok(Op::Unpack { part_bits, parts: d.list(0, part_bits)?, a: d.reg(1, bits)? })
        }
        (_, Operand::List(parts)) => {
            let part_bits = bits / parts.len().max(1) as u32;
            Ok(Op::Pack { part_bits, d: d.reg(0, bits)?, parts: d.list(1, part_bits)? })
        }
        (_, Operand::Name { name, .. }) if name.starts_with("%clock") => timer(d, bits),
        (_, Operand::Name { name, .. }) if name.starts_with("%globaltimer") => timer(d, bits),
        _ => Ok(Op::Move { d: d.reg(0, bits)?, a: value(d, names, 1, bits)? }),
    }
}

fn timer(d: &mut Decoder<'_, '_>, bits: u32) -> Decode {
    Ok(Op::Timer { d: d.reg(0, bits)? })
}

/// A register, a number or the place of a variable.
fn value(d: &mut Decoder<'_, '_>, names: &mut Names<'_>, at: usize, bits: u32) -> Decode<Reg> {
    if let Operand::Name { name, negated: false } = *d.operand(at)? {
        let known = d.find(name)?.is_some() || crate::kernel::Special::named(name).is_some();
        if !known {
            return place(d, names, name, bits == 64);
        }
    }
    d.reg(at, bits)
}

/// A register that holds the place of the variable `name`.
pub(super) fn place(
    d: &mut Decoder<'_, '_>,
    names: &mut Names<'_>,
    name: &str,
    wide: bool,
) -> Decode<Reg> {
    match names.place(name)? {
        Place::At(at) if wide => Ok(Reg::Double(d.double_constant(at)?)),
        Place::At(at) => Ok(Reg::Word(d.word_constant(at as u32)?)),
        Place::DynamicShared => d.dynamic(wide),
    }
}

fn cvta(d: &mut Decoder<'_, '_>, names: &mut Names<'_>) -> Decode {
    let to_generic = !d.take("to");
    let spaces = [
        ("global", Space::Global),
        ("shared", Space::Shared),
        ("shared::cta", Space::Shared),
        ("local", Space::Local),
        ("const", Space::Global),
        ("param", Space::Param),
    ];
    let space = d.take_any(&spaces).ok_or("expected a state space")?;
    if d.ty()? != Type::Unsigned(64) {
        return Err("expected `.u64`".into());
    }
    let Reg::Double(a) = value(d, names, 1, 64)? else {
        return Err("expected a register of 64 bits".into());
    };
    Ok(Op::Generic { space, to_generic, d: d.double(0)?, a })
}

fn cvt(d: &mut Decoder<'_, '_>) -> Decode {
    if d.take("tf32") {
        return to_tf32(d);
    }
    let from = d.ty()?;
    let (round, whole) = cvt_round(d);
    let (ftz, sat, relu) = (d.take("ftz"), d.take("sat"), d.take("relu"));
    if let Some((kind, name)) = pair(d) {
        d.take(name);
        if from != Type::F32 || round != Round::Nearest || sat || ftz {
            return Err("expected a plain `.rn` from two f32".into());
        }
        return Ok(Op::CvtPair { kind, relu, d: d.word(0)?, a: d.word(1)?, b: d.word(2)? });
    }
    let to = d.ty()?;
    let known = |ty: Type| ty.is_int() || matches!(ty, Type::F32 | Type::F64 | Type::Half(_));
    if !known(to) || !known(from) {
        return Err("this conversion is not implemented".into());
    }
    let operand = d.operand(0)?;
    let (to_reg, to_bits) = d.declared(operand, to.bits())?;
    let operand = d.operand(1)?;
    let (a, _) = d.declared(operand, from.bits())?;
    let cvt = Cvt { to, from, round, whole, ftz, sat, relu, to_bits };
    Ok(Op::Cvt { cvt, d: to_reg, a })
}

fn to_tf32(d: &mut Decoder<'_, '_>) -> Decode {
    if !d.take("rna") || d.ty()? != Type::F32 {
        return Err("expected `.rna.tf32.f32`".into());
    }
    let mode = Mode { round: Round::Nearest, ftz: false, sat: false };
    Ok(Op::Float { f: FloatFn::Tf32, mode, d: d.word(0)?, s: d.words(1, 1)? })
}

fn cvt_round(d: &mut Decoder<'_, '_>) -> (Round, bool) {
    let whole =
        [("rni", Round::Nearest), ("rzi", Round::Zero), ("rmi", Round::Down), ("rpi", Round::Up)];
    match d.take_any(&whole) {
        Some(round) => (round, true),
        None => (super::float::round(d), false),
    }
}

fn pair(d: &Decoder<'_, '_>) -> Option<(HalfKind, &'static str)> {
    [(HalfKind::F16, "f16x2"), (HalfKind::Bf16, "bf16x2")]
        .into_iter()
        .find(|&(_, name)| d.has(name))
}

fn compare(d: &mut Decoder<'_, '_>) -> Decode {
    let set = d.statement.base == "set";
    let ty = d.ty()?;
    let known = matches!(ty, Type::F32 | Type::F64 | Type::Half(_)) || ty.is_int();
    if !known {
        return Err("this comparison is not implemented".into());
    }
    let (cmp, unordered) = comparison(d)?;
    let ftz = d.take("ftz");
    let f = d.take_any(&[("and", Bool::And), ("or", Bool::Or), ("xor", Bool::Xor)]);
    let (a, b) = (d.reg(1, ty.bits())?, d.reg(2, ty.bits())?);
    let combine = match f {
        Some(f) => Some((f, d.condition(3)?)),
        None => None,
    };
    let out = if set {
        let to = d.ty()?;
        if to.bits() != 32 {
            return Err("`set` gives 32 bits only".into());
        }
        CompareOut::Word { d: d.word(0)?, float: to == Type::F32 }
    } else {
        preds(d)?
    };
    Ok(Op::Compare(Box::new(Compare { cmp, unordered, ftz, ty, a, b, combine, out })))
}

fn preds(d: &mut Decoder<'_, '_>) -> Decode<CompareOut> {
    if let Operand::Two(first, second) = *d.operand(0)? {
        return Ok(CompareOut::Preds(d.pred_named(first)?, Some(d.pred_named(second)?)));
    }
    Ok(CompareOut::Preds(d.pred(0)?, None))
}

/// The comparison, and whether NaN makes it true.
fn comparison(d: &mut Decoder<'_, '_>) -> Decode<(Cmp, bool)> {
    let names = [
        ("eq", (Cmp::Eq, false)),
        ("ne", (Cmp::Ne, false)),
        ("lt", (Cmp::Lt, false)),
        ("le", (Cmp::Le, false)),
        ("gt", (Cmp::Gt, false)),
        ("ge", (Cmp::Ge, false)),
        ("lo", (Cmp::Lt, false)),
        ("ls", (Cmp::Le, false)),
        ("hi", (Cmp::Gt, false)),
        ("hs", (Cmp::Ge, false)),
        ("equ", (Cmp::Eq, true)),
        ("neu", (Cmp::Ne, true)),
        ("ltu", (Cmp::Lt, true)),
        ("leu", (Cmp::Le, true)),
        ("gtu", (Cmp::Gt, true)),
        ("geu", (Cmp::Ge, true)),
        ("num", (Cmp::Num, false)),
        ("nan", (Cmp::Nan, true)),
    ];
    d.take_any(&names).ok_or("expected a comparison".into())
}

/// Whether `slot` has 64 bits.
pub(super) fn is_wide(slot: Slot) -> bool {
    matches!(slot, Slot::Double(_))
}
