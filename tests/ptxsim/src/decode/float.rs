//! f32, f64 and halves.

use super::{Decode, Decoder};
use crate::isa::{FloatFn, HalfFn, Mode, Op, Round, Type};

pub(super) fn decode(d: &mut Decoder<'_, '_>) -> Decode {
    let base = d.statement.base;
    let ty = d.ty()?;
    match ty {
        Type::Half(kind) | Type::HalfPair(kind) => {
            let (f, count) = half(d, base)?;
            d.take("rn");
            d.take("approx");
            let packed = matches!(ty, Type::HalfPair(_));
            let sat = d.take("sat");
            Ok(Op::Half { f, kind, packed, sat, d: d.word(0)?, s: d.words(1, count)? })
        }
        Type::F64 => {
            let (f, count) = function(d, base)?;
            if round(d) != Round::Nearest {
                return Err("f64 rounds to the nearest only".into());
            }
            Ok(Op::Float64 { f, d: d.double(0)?, s: d.doubles(1, count)? })
        }
        _ => {
            let (f, count) = function(d, base)?;
            let mode = Mode { round: round(d), ftz: d.take("ftz"), sat: d.take("sat") };
            let mut s = d.words(1, count)?;
            if f == FloatFn::CopySign {
                // The sign comes first in PTX.
                s.swap(0, 1);
            }
            Ok(Op::Float { f, mode, d: d.word(0)?, s })
        }
    }
}

pub(super) fn round(d: &mut Decoder<'_, '_>) -> Round {
    let modes =
        [("rn", Round::Nearest), ("rz", Round::Zero), ("rm", Round::Down), ("rp", Round::Up)];
    d.take_any(&modes).unwrap_or(Round::Nearest)
}

fn function(d: &mut Decoder<'_, '_>, base: &str) -> Decode<(FloatFn, usize)> {
    Ok(match base {
        "add" => (FloatFn::Add, 2),
        "sub" => (FloatFn::Sub, 2),
        "mul" => (FloatFn::Mul, 2),
        "fma" | "mad" => (FloatFn::Fma, 3),
        "div" => {
            d.take("full");
            d.take("approx");
            (FloatFn::Div, 2)
        }
        "min" => (FloatFn::Min { nan: d.take("NaN") }, 2),
        "max" => (FloatFn::Max { nan: d.take("NaN") }, 2),
        "abs" => (FloatFn::Abs, 1),
        "neg" => (FloatFn::Neg, 1),
        "copysign" => (FloatFn::CopySign, 2),
        "ex2" | "lg2" | "rcp" | "rsqrt" | "sqrt" | "sin" | "cos" | "tanh" => {
            d.take("approx");
            (special(base), 1)
        }
        _ => return Err(format!("`{base}` of floats is not implemented")),
    })
}

fn special(base: &str) -> FloatFn {
    match base {
        "ex2" => FloatFn::Ex2,
        "lg2" => FloatFn::Lg2,
        "rcp" => FloatFn::Rcp,
        "rsqrt" => FloatFn::Rsqrt,
        "sqrt" => FloatFn::Sqrt,
        "sin" => FloatFn::Sin,
        "cos" => FloatFn::Cos,
        _ => FloatFn::Tanh,
    }
}

fn half(d: &mut Decoder<'_, '_>, base: &str) -> Decode<(HalfFn, usize)> {
    Ok(match base {
        "add" => (HalfFn::Add, 2),
        "sub" => (HalfFn::Sub, 2),
        "mul" => (HalfFn::Mul, 2),
        "fma" => (HalfFn::Fma { relu: d.take("relu") }, 3),
        "min" => (HalfFn::Min { nan: d.take("NaN") }, 2),
        "max" => (HalfFn::Max { nan: d.take("NaN") }, 2),
        "abs" => (HalfFn::Abs, 1),
        "neg" => (HalfFn::Neg, 1),
        "ex2" => (HalfFn::Ex2, 1),
        "tanh" => (HalfFn::Tanh, 1),
        _ => return Err(format!("`{base}` of halves is not implemented")),
    })
}
