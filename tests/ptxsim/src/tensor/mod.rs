//! Matrices spread over the lanes of a warp. Source: PTX ISA, "Matrix fragments for mma.m16n8k16"
//! and "mma.m16n8k8".

mod fused;

use crate::Tensor;
use crate::alu::{Words, half, map1};
use crate::isa::{Factors, HalfKind};

/// Eight rows of eight sums.
type Sums = [[f32; 8]; 8];
/// Eight rows of 16 factors.
type Left = [[f32; 16]; 8];
/// 16 rows of eight factors.
type Right = [[f32; 8]; 16];

/// `a * b + c` for 16x16 halves `a`, 16x8 halves `b` and 16x8 f32, as `tensor` sums them up; half
/// as many factors, with zeros between them, where they are tf32.
#[inline(always)]
pub(crate) fn mma(
    tensor: Tensor,
    factors: Factors,
    a: [&Words; 4],
    b: [&Words; 2],
    c: [&Words; 4],
) -> [Words; 4] {
    let (lefts, right) = match factors {
        Factors::Half(kind) => of_halves(kind, a, b),
        Factors::Tf32 => of_tf32(a, b),
    };
    let mut out = [[0; 32]; 4];
    for (upper, out) in out.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        let c = [c[2 * upper], c[2 * upper + 1]];
        let mut sums = [[0f32; 8]; 8];
        for (row, sums) in sums.iter_mut().enumerate() {
            for (col, sum) in sums.iter_mut().enumerate() {
                *sum = f32::from_bits(c[col % 2][4 * row + col / 2]);
            }
        }
        let left = &lefts[upper];
        match tensor {
            Tensor::Exact => chain(left, &right, &mut sums),
            Tensor::Ampere => fused::add(fused::AMPERE, factors, left, &right, &mut sums),
            Tensor::Hopper => fused::add(fused::HOPPER, factors, left, &right, &mut sums),
        }
        for (row, sums) in sums.iter().enumerate() {
            for (col, sum) in sums.iter().enumerate() {
                out[col % 2][4 * row + col / 2] = sum.to_bits();
            }
        }
    }
    out
}

/// Both halves of the left-hand side by rows, and the right-hand side.
#[inline(always)]
fn of_halves(kind: HalfKind, a: [&Words; 4], b: [&Words; 2]) -> ([Left; 2], Right) {
    // Spelt out: `map` would not be inlined into the fast version.
    let left = [halves(kind, a[0]), halves(kind, a[1]), halves(kind, a[2]), halves(kind, a[3])];
    let right = rows_of_b([halves(kind, b[0]), halves(kind, b[1])]);
    ([rows_of_a(&left, 0), rows_of_a(&left, 1)], right)
}

/// Four factors and four zeros, twice: Ampere sums up eight products at a time, and of tf32 four.
#[inline(always)]
fn of_tf32(a: [&Words; 4], b: [&Words; 2]) -> ([Left; 2], Right) {
    let number = |bits: u32| f32::from_bits(bits & !0x1fff);
    let mut lefts = [[[0f32; 16]; 8]; 2];
    for (upper, rows) in lefts.iter_mut().enumerate() {
        for (at, row) in rows.iter_mut().enumerate() {
            for k in 0..8 {
                row[k / 4 * 8 + k % 4] = number(a[upper + k / 4 * 2][4 * at + k % 4]);
            }
        }
    }
    let mut right = [[0f32; 8]; 16];
    for k in 0..8 {
        for (col, x) in right[k / 4 * 8 + k % 4].iter_mut().enumerate() {
            *x = number(b[k / 4][4 * col + k % 4]);
        }
    }
    (lefts, right)
}

/// Each sum is one chain of fused multiply-adds, in the order of k.
#[inline(always)]
fn chain(left: &Left, right: &Right, sums: &mut Sums) {
    // Eight rows side by side: their chains do not wait for one another.
    for (k, right) in right.iter().enumerate() {
        for (left, sums) in left.iter().zip(sums.iter_mut()) {
            for (sum, y) in sums.iter_mut().zip(right) {
                *sum = left[k].mul_add(*y, *sum);
            }
        }
    }
}

/// The lower and the upper half of every lane.
#[inline(always)]
fn halves(kind: HalfKind, pairs: &Words) -> [[f32; 32]; 2] {
    match kind {
        HalfKind::F16 => both(pairs, |bits| half::to_f32(HalfKind::F16, bits)),
        HalfKind::Bf16 => both(pairs, |bits| half::to_f32(HalfKind::Bf16, bits)),
    }
}

#[inline(always)]
fn both(pairs: &Words, f: impl Fn(u16) -> f32) -> [[f32; 32]; 2] {
    [map1(pairs, |pair| f(pair as u16)), map1(pairs, |pair| f((pair >> 16) as u16))]
}

#[inline(always)]
fn rows_of_a(a: &[[[f32; 32]; 2]; 4], upper: usize) -> Left {
    let mut rows = [[0f32; 16]; 8];
    for (at, row) in rows.iter_mut().enumerate() {
        for (k, x) in row.iter_mut().enumerate() {
            *x = a[upper + k / 8 * 2][k % 2][4 * at + k % 8 / 2];
        }
    }
    rows
}

#[inline(always)]
fn rows_of_b(b: [[[f32; 32]; 2]; 2]) -> Right {
    let mut rows = [[0f32; 8]; 16];
    for (k, row) in rows.iter_mut().enumerate() {
        for (col, x) in row.iter_mut().enumerate() {
            *x = b[k / 8][k % 2][4 * col + k % 8 / 2];
        }
    }
    rows
}
