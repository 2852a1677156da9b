//! `ldmatrix` and `mma`.

use super::{Env, addresses, shared};
use crate::FaultKind;
use crate::fault::{Problem, Step};
use crate::isa::{Address, HalfKind, Regs, Word};
use crate::shared::Toucher;
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
        let mut rows = [[0u16; 8]; 8];
        for (r, row) in rows.iter_mut().enumerate() {
            let lane = i * 8 + r;
            env.shared.check(addresses[lane], 16, lane)?;
            let at = addresses[lane] as u32;
            let by = Toucher { warp: warp.index, lane: lane as u32, line };
            env.shared.note_read(at, 16, by, false)?;
            for (col, half) in row.iter_mut().enumerate() {
                *half = env.shared.load(at + col as u32 * 2, 2) as u16;
            }
        }
        let half = |row: usize, col: usize| {
            u64::from(if transposed { rows[col][row] } else { rows[row][col] })
        };
        let fragment = std::array::from_fn(|lane| {
            let (row, col) = (lane / 4, lane % 4 * 2);
            half(row, col) | half(row, col + 1) << 16
        });
        warp.file.set(*d, &fragment, !0, !0);
        shared::count(env, &addresses, 0xff << (8 * i), 16);
    }
    Ok(())
}

/// `out = a * b + c`; `dac` are the registers of out, a and c.
pub(super) fn mma(
    warp: &mut Warp,
    kind: HalfKind,
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
        kind,
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
