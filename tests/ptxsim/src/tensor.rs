//! Matrices spread over the lanes of a warp. Source: PTX ISA, "Matrix fragments for mma.m16n8k16".

use crate::alu::{Words, half};
use crate::isa::HalfKind;

/// `a * b + c` for 16x16 halves `a`, 16x8 halves `b` and 16x8 f32. Each sum is one chain of fused
/// multiply-adds from `c` on, in the order of k.
#[inline(always)]
pub(crate) fn mma(kind: HalfKind, a: [&Words; 4], b: [&Words; 2], c: [&Words; 4]) -> [Words; 4] {
    let (left, right) = (rows_of_a(kind, a), rows_of_b(kind, b));
    let mut sums = [[0f32; 8]; 16];
    for lane in 0..32 {
        for (r, c) in c.iter().enumerate() {
            let (row, col) = place(lane, r);
            sums[row][col] = f32::from_bits(c[lane]);
        }
    }
    for (sums, left) in sums.iter_mut().zip(&left) {
        for (x, right) in left.iter().zip(&right) {
            for (sum, y) in sums.iter_mut().zip(right) {
                *sum = x.mul_add(*y, *sum);
            }
        }
    }
    std::array::from_fn(|r| {
        std::array::from_fn(|lane| {
            let (row, col) = place(lane, r);
            sums[row][col].to_bits()
        })
    })
}

/// Row and column of sum `r` of `lane`.
#[inline(always)]
fn place(lane: usize, r: usize) -> (usize, usize) {
    (lane / 4 + r / 2 * 8, lane % 4 * 2 + r % 2)
}

#[inline(always)]
fn halves(kind: HalfKind, pair: u32) -> [f32; 2] {
    [half::to_f32(kind, pair as u16), half::to_f32(kind, (pair >> 16) as u16)]
}

#[inline(always)]
fn rows_of_a(kind: HalfKind, a: [&Words; 4]) -> [[f32; 16]; 16] {
    let mut rows = [[0f32; 16]; 16];
    for lane in 0..32 {
        for (r, a) in a.iter().enumerate() {
            let (row, col) = (lane / 4 + r % 2 * 8, lane % 4 * 2 + r / 2 * 8);
            rows[row][col..col + 2].copy_from_slice(&halves(kind, a[lane]));
        }
    }
    rows
}

#[inline(always)]
fn rows_of_b(kind: HalfKind, b: [&Words; 2]) -> [[f32; 8]; 16] {
    let mut rows = [[0f32; 8]; 16];
    for lane in 0..32 {
        for (r, b) in b.iter().enumerate() {
            let [first, second] = halves(kind, b[lane]);
            let (row, col) = (lane % 4 * 2 + r * 8, lane / 4);
            rows[row][col] = first;
            rows[row + 1][col] = second;
        }
    }
    rows
}
