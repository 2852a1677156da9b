//! What stays within a lane.

use super::moves;
use crate::alu::{compare, float, half, int, map1, map2};
use crate::isa::{CompareOut, IntFn, Mode, Narrow, Op, Reg, Word};
use crate::simd;
use crate::warp::File;

/// Runs `op`, which cannot fail.
#[inline]
pub(super) fn run(file: &mut File, op: &Op, run: u32) {
    match op {
        Op::Int { f, narrow, d, s } => ints(file, *f, *narrow, *d, *s, run),
        Op::Float { f, mode, d, s } => {
            let known = known(file, *s);
            let operands = s.map(|word| file.word(word));
            let out = if *mode == Mode::PLAIN {
                simd::floats(*f, operands)
            } else {
                float::with_mode(*f, *mode, operands)
            };
            file.set_word(*d, &out, run, known);
        }
        Op::Half { f, kind, packed, sat, d, s } => {
            let out = half::words(*f, *kind, *packed, *sat, s.map(|word| file.word(word)));
            file.set_word(*d, &out, run, known(file, *s));
        }
        Op::CvtPair { kind, relu, d, a, b } => {
            let known = file.known(*a) & file.known(*b);
            let pair = |a, b| half::pair(*kind, *relu, a, b);
            let out = map2(file.word(*a), file.word(*b), pair);
            file.set_word(*d, &out, run, known);
        }
        Op::Long { .. } | Op::Shift { .. } | Op::Count { .. } | Op::Float64 { .. } => {
            wide(file, op, run);
        }
        Op::MulWide { .. } | Op::Insert { .. } | Op::Extract64 { .. } => mixed(file, op, run),
        Op::Compare(_) => compares(file, op, run),
        Op::PredLogic { f, d, a, b } => {
            let known = file.pred_known(a.pred) & file.pred_known(b.pred);
            let (a, b) = (file.pred(a.pred) ^ a.flip, file.pred(b.pred) ^ b.flip);
            file.set_pred(*d, compare::join(*f, a, b), run, known);
        }
        _ => moves::run(file, op, run),
    }
}

/// The lanes in which all operands are.
#[inline(always)]
fn known(file: &File, s: [Word; 3]) -> u32 {
    file.known(s[0]) & file.known(s[1]) & file.known(s[2])
}

#[inline]
fn ints(file: &mut File, f: IntFn, narrow: Narrow, d: Word, s: [Word; 3], run: u32) {
    let known = known(file, s);
    let operands = s.map(|word| file.word(word));
    let out = match narrow {
        Narrow::No => simd::ints(f, operands),
        Narrow::Unsigned { cut } | Narrow::Signed { cut } => {
            let [a, b, c] = operands.map(|words| int::widen(narrow, words));
            let out = simd::ints(f, [&a, &b, &c]);
            if cut { map1(&out, |out| out & 0xffff) } else { out }
        }
    };
    file.set_word(d, &out, run, known);
}

fn wide(file: &mut File, op: &Op, run: u32) {
    match op {
        Op::Long { f, d, s } => {
            let known = s.iter().fold(!0, |known, s| known & file.double_known(*s));
            let out = int::doubles(*f, s.map(|double| file.double(double)));
            file.set_double(*d, &out, run, known);
        }
        Op::Float64 { f, d, s } => {
            let known = s.iter().fold(!0, |known, s| known & file.double_known(*s));
            let out = float::doubles(*f, s.map(|double| file.double(double)));
            file.set_double(*d, &out, run, known);
        }
        Op::Shift { f, d, a, by } => {
            let known = file.double_known(*a) & file.known(*by);
            let out = int::shift(*f, file.double(*a), file.word(*by));
            file.set_double(*d, &out, run, known);
        }
        Op::Count { f, d, a } => {
            let out = int::count(*f, file.double(*a));
            file.set_word(*d, &out, run, file.double_known(*a));
        }
        _ => {}
    }
}

fn mixed(file: &mut File, op: &Op, run: u32) {
    match op {
        Op::MulWide { signed, d, a, b, c } => {
            let known = file.known(*a) & file.known(*b) & file.double_known(*c);
            let (a, b, c) = (file.word(*a), file.word(*b), file.double(*c));
            let out = crate::alu::each(|lane| {
                let product = if *signed {
                    (i64::from(a[lane] as i32) * i64::from(b[lane] as i32)) as u64
                } else {
                    u64::from(a[lane]) * u64::from(b[lane])
                };
                product.wrapping_add(c[lane])
            });
            file.set_double(*d, &out, run, known);
        }
        Op::Insert { d, a, b, pos, len } => {
            let bits = if matches!(d, Reg::Double(_)) { 64 } else { 32 };
            let known = file.reg_known(*a) & file.reg_known(*b);
            let known = known & file.known(*pos) & file.known(*len);
            let out = crate::alu::each(|lane| {
                let (pos, len) = (file.word(*pos)[lane], file.word(*len)[lane]);
                int::insert(file.get(*a, lane), file.get(*b, lane), pos, len, bits)
            });
            file.set(*d, &out, run, known);
        }
        Op::Extract64 { signed, d, a, pos, len } => {
            let known = file.double_known(*a) & file.known(*pos) & file.known(*len);
            let out = crate::alu::each(|lane| {
                let (pos, len) = (file.word(*pos)[lane], file.word(*len)[lane]);
                int::extract64(*signed, file.double(*a)[lane], pos, len)
            });
            file.set_double(*d, &out, run, known);
        }
        _ => {}
    }
}

fn compares(file: &mut File, op: &Op, run: u32) {
    let Op::Compare(c) = op else { return };
    let mut known = file.reg_known(c.a) & file.reg_known(c.b);
    let yes = match (c.a, c.b) {
        (Reg::Word(a), Reg::Word(b)) => {
            let (a, b) = (file.word(a), file.word(b));
            compare::compare(c, |lane| a[lane].into(), |lane| b[lane].into())
        }
        _ => compare::compare(c, |lane| file.get(c.a, lane), |lane| file.get(c.b, lane)),
    };
    let mut join = |yes: u32| match c.combine {
        Some((f, with)) => {
            known &= file.pred_known(with.pred);
            compare::join(f, yes, file.pred(with.pred) ^ with.flip)
        }
        None => yes,
    };
    let (first, second) = (join(yes), join(!yes));
    match c.out {
        CompareOut::Preds(p, q) => {
            file.set_pred(p, first, run, known);
            if let Some(q) = q {
                file.set_pred(q, second, run, known);
            }
        }
        CompareOut::Word { d, float } => {
            let yes = if float { 1f32.to_bits() } else { !0 };
            let out = crate::alu::each(|lane| if first >> lane & 1 != 0 { yes } else { 0 });
            file.set_word(d, &out, run, known);
        }
    }
}
