//! Moves, conversions and choices.

use crate::alu::convert;
use crate::isa::{Cvt, Op, Reg, Regs, Space};
use crate::simd;
use crate::warp::File;

/// Where generic addresses of shared memory begin.
pub(super) const SHARED_WINDOW: u64 = 1 << 60;
/// Where generic addresses of local memory begin.
pub(super) const LOCAL_WINDOW: u64 = 2 << 60;

/// Runs `op`, which cannot fail.
pub(super) fn run(file: &mut File, op: &Op, run: u32) {
    match op {
        Op::Move { d, a } => copy(file, *d, *a, run),
        Op::MovePred { d, a } => {
            let known = file.pred_known(a.pred);
            file.set_pred(*d, file.pred(a.pred) ^ a.flip, run, known);
        }
        Op::Cvt { cvt, d, a } => converts(file, cvt, *d, *a, run),
        Op::Select { d, a, b, by } => {
            let (pick, decided) = (file.pred(*by), file.pred_known(*by));
            select(file, *d, [*a, *b], pick, decided, run);
        }
        Op::SelectSign { float, d, a, b, c } => {
            let below = |x: u32| {
                if *float {
                    f32::from_bits(x) < 0.0 || f32::from_bits(x).is_nan()
                } else {
                    (x as i32) < 0
                }
            };
            let c_words = file.word(*c);
            let pick = (0..32).fold(0, |m, lane| m | u32::from(!below(c_words[lane])) << lane);
            let decided = file.known(*c);
            select(file, *d, [*a, *b], pick, decided, run);
        }
        Op::Pack { part_bits, d, parts } => pack(file, *part_bits, *d, parts, run),
        Op::Unpack { part_bits, parts, a } => unpack(file, *part_bits, parts, *a, run),
        Op::Generic { space, to_generic, d, a } => {
            let window = match space {
                Space::Shared => SHARED_WINDOW,
                Space::Local => LOCAL_WINDOW,
                _ => 0,
            };
            let by = if *to_generic { window } else { window.wrapping_neg() };
            let out = crate::alu::map1(file.double(*a), |a| shifted(a, window, by, *to_generic));
            file.set_double(*d, &out, run, file.double_known(*a));
        }
        _ => {}
    }
}

/// Into or out of a window. A shared address that is in no window is taken as it is.
fn shifted(a: u64, window: u64, by: u64, to_generic: bool) -> u64 {
    if !to_generic && a < window { a } else { a.wrapping_add(by) }
}

fn copy(file: &mut File, d: Reg, a: Reg, run: u32) {
    let known = file.reg_known(a);
    match (d, a) {
        (Reg::Word(d), Reg::Word(a)) => {
            let new = *file.word(a);
            file.set_word(d, &new, run, known);
        }
        (Reg::Double(d), Reg::Double(a)) => {
            let new = *file.double(a);
            file.set_double(d, &new, run, known);
        }
        _ => {
            let new = crate::alu::each(|lane| file.get(a, lane));
            file.set(d, &new, run, known);
        }
    }
}

fn converts(file: &mut File, cvt: &Cvt, d: Reg, a: Reg, run: u32) {
    let known = file.reg_known(a);
    if let (Reg::Word(d), Reg::Word(a)) = (d, a) {
        let out = simd::convert(cvt, file.word(a));
        file.set_word(d, &out, run, known);
        return;
    }
    let out = crate::alu::each(|lane| convert::convert(cvt, file.get(a, lane)));
    file.set(d, &out, run, known);
}

/// `a` in the lanes of `pick`, else `b`; known where the choice and the chosen are.
fn select(file: &mut File, d: Reg, [a, b]: [Reg; 2], pick: u32, decided: u32, run: u32) {
    let known = decided & (pick & file.reg_known(a) | !pick & file.reg_known(b));
    if let (Reg::Word(d), Reg::Word(a), Reg::Word(b)) = (d, a, b) {
        let (a, b) = (file.word(a), file.word(b));
        let out = crate::alu::each(|lane| if pick >> lane & 1 != 0 { a[lane] } else { b[lane] });
        file.set_word(d, &out, run, known);
        return;
    }
    let of = |lane: usize| if pick >> lane & 1 != 0 { a } else { b };
    let out = crate::alu::each(|lane| file.get(of(lane), lane));
    file.set(d, &out, run, known);
}

fn pack(file: &mut File, part_bits: u32, d: Reg, parts: &Regs, run: u32) {
    let known = parts.as_slice().iter().fold(!0, |known, part| known & file.reg_known(*part));
    let low = u64::MAX >> (64 - part_bits);
    let out = crate::alu::each(|lane| {
        let parts = parts.as_slice().iter().enumerate();
        parts
            .fold(0, |sum, (i, part)| sum | (file.get(*part, lane) & low) << (i as u32 * part_bits))
    });
    file.set(d, &out, run, known);
}

fn unpack(file: &mut File, part_bits: u32, parts: &Regs, a: Reg, run: u32) {
    let known = file.reg_known(a);
    let low = u64::MAX >> (64 - part_bits);
    let whole: [u64; 32] = crate::alu::each(|lane| file.get(a, lane));
    for (i, part) in parts.as_slice().iter().enumerate() {
        let out = crate::alu::map1(&whole, |whole| whole >> (i as u32 * part_bits) & low);
        file.set(*part, &out, run, known);
    }
}
