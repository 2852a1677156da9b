//! `ldmatrix` and `mma`.

use super::{Env, addresses, shared};
use crate::FaultKind;
use crate::fault::{Problem, Step};
use crate::isa::{Address, Factors, Reg, Regs, Word};
use crate::simd;
use crate::warp::{Warp, need};

fn need_all(run: u32) -> Step {
    if run == !0 {
        return Ok(());
    }
    let found = format!("expected all 32 lanes, found {run:#010x}");
    Err(Problem::new(FaultKind::PartialWarp, (!run).trailing_zeros(), found))
}

/// 8x8 halves each: lane `8 * i + row` has the address of a row of matrix `i`.
pub(super) fn load(
    warp: &mut Warp,
    transposed: bool,
    d: &Regs,
    at: &Address,
    run: u32,
    line: u32,
    env: &mut Env<'_>,
) -> Step {
    need_all(run)?;
    let count = d.as_slice().len();
    let addresses = addresses(warp, at, u32::MAX >> (32 - 8 * count))?;
    for (i, d) in d.as_slice().iter().enumerate() {
        let mut rows = [[0u32; 4]; 8];
        for (r, row) in rows.iter_mut().enumerate() {
            let lane = i * 8 + r;
            env.shared.check(addresses[lane], 16, lane)?;
            let at = addresses[lane] as u32;
            env.shared.note_read(at, 16, warp.toucher(lane, line), false)?;
            *row = env.shared.words(at);
        }
        let fragment = crate::alu::each(|lane| {
            let (row, pair) = (lane / 4, lane % 4);
            if transposed { turned(&rows, row, pair) } else { rows[row][pair] }
        });
        match *d {
            Reg::Word(d) => warp.file.set_word(d, &fragment, !0, !0),
            Reg::Double(_) => warp.file.set(*d, &fragment.map(u64::from), !0, !0),
        }
        shared::count(env, &addresses, 0xff << (8 * i), 16);
    }
    Ok(())
}

/// Two halves of column `column`, from rows `2 * pair` on.
fn turned(rows: &[[u32; 4]; 8], column: usize, pair: usize) -> u32 {
    let half = |row: usize| rows[row][column / 2] >> (column % 2 * 16) & 0xffff;
    half(2 * pair) | half(2 * pair + 1) << 16
}

/// `out = a * b + c`; `dac` are the registers of out, a and c.
pub(super) fn mma(
    warp: &mut Warp,
    factors: Factors,
    [d, a, c]: [&[Word; 4]; 3],
    b: &[Word; 2],
    run: u32,
    env: &mut Env<'_>,
) -> Step {
    need_all(run)?;
    for word in a.iter().chain(b).chain(c) {
        need(warp.file.known(*word), !0, "a matrix")?;
    }
    let file = &warp.file;
    let out = simd::mma(
        env.tensor,
        factors,
        a.map(|word| file.word(word)),
        b.map(|word| file.word(word)),
        c.map(|word| file.word(word)),
    );
    for (d, out) in d.iter().zip(&out) {
        warp.file.set_word(*d, out, !0, !0);
    }
    env.counts.tensor_ops += 1;
    Ok(())
}
