//! Cases by hand, and any numbers against sums of whole numbers.

use super::*;
use crate::Tensor;
use crate::alu::half::to_f32;

const SMALLEST: i32 = -14;

/// One output of a product of f16, both ways.
fn dot(rule: Rule, sum: f32, pairs: &[[f32; 2]]) -> f32 {
    let mut left = [[0.0; 16]; 8];
    let mut right = [[0.0; 8]; 16];
    for (k, [x, y]) in pairs.iter().enumerate() {
        (left[3][k], right[k][5]) = (*x, *y);
    }
    let mut sums = [[0.0; 8]; 8];
    sums[3][5] = sum;
    let mut slowly = sums;
    add(rule, Factors::Half(HalfKind::F16), &left, &right, &mut sums);
    slow(rule, SMALLEST, &left, &right, &mut slowly);
    assert_eq!(sums.map(|row| row.map(f32::to_bits)), slowly.map(|row| row.map(f32::to_bits)));
    sums[3][5]
}

fn chained(sum: f32, pairs: &[[f32; 2]]) -> f32 {
    pairs.iter().fold(sum, |sum, [x, y]| x.mul_add(*y, sum))
}

#[test]
fn small_terms_are_cut_by_the_largest() {
    let power = |exponent| 2f32.powi(exponent);
    // 2^-24 and 2^-25 are the last bits kept beside 1.
    let beside_one = |exponent: i32| [power(exponent / 2), power(exponent - exponent / 2)];
    let four = |exponent| [[1.0, 1.0], beside_one(exponent), beside_one(exponent), [0.0; 2]];
    let sums = |sum, pairs: &[[f32; 2]]| [AMPERE, HOPPER].map(|rule| dot(rule, sum, pairs));
    // Twice 2^-24 is a bit of an f32 near 1, and both keep it; a chain loses one after the other.
    assert_eq!(sums(0.0, &four(-24)), [1.0 + power(-23); 2]);
    assert_eq!(chained(0.0, &four(-24)), 1.0);
    // Four times 2^-25: Ampere has no such bit.
    let eighths = [four(-25), four(-25).map(|[x, y]| if x == 1.0 { [0.0; 2] } else { [x, y] })];
    assert_eq!(sums(0.0, eighths.as_flattened()), [1.0, 1.0 + power(-23)]);
    // Rounding is toward zero, for either sign: one and seven eighths of a bit.
    let up = [[1.0, 1.0], [power(-11), power(-12) * 1.875]];
    assert_eq!(sums(0.0, &up), [1.0 + power(-23); 2]);
    assert_eq!(chained(0.0, &up), 1.0 + power(-22));
    assert_eq!(sums(0.0, &up.map(|[x, y]| [-x, y])), [-1.0 - power(-23); 2]);
    // Halves of k: Ampere rounds in between, so what cancels there is lost.
    let mut far = [[0.0; 2]; 16];
    (far[0], far[1], far[8]) = ([power(12), power(12)], [1.5, 1.0], [-power(12), power(12)]);
    assert_eq!(sums(0.0, &far), [0.0, 1.5]);
    assert_eq!(chained(0.0, &far), 2.0);
}

#[test]
fn a_product_is_aligned_by_the_exponents_of_its_factors() {
    // 1.5 * 1.5 is above 2, and still the exponent is 0: 2^-25 is kept beside it.
    let tiny = 2f32.powi(-12);
    let pairs = [[1.5, 1.5], [tiny, tiny / 2.0], [-1.5, 1.5], [0.0; 2]];
    assert_eq!(dot(HOPPER, 0.0, &pairs), 2f32.powi(-25));
    assert_eq!(dot(AMPERE, 0.0, &pairs), 0.0);
    // The sum may be the largest: beside 2^3 Hopper keeps 2^-22.
    let sum = [[tiny, 2f32.powi(-11)], [-1.0, 1.0]];
    assert_eq!(dot(HOPPER, 8.0, &sum), 7.0);
    assert_eq!(dot(HOPPER, 1.0, &sum), 2f32.powi(-23));
    // A subnormal f16 has the exponent of the smallest normal one: 2^-40 is too far from 2^-14,
    // and not from 2^-24.
    let small = to_f32(HalfKind::F16, 1);
    let smaller = [small, to_f32(HalfKind::F16, 256)];
    assert_eq!(dot(HOPPER, 0.0, &[[small, 1.0], smaller]), small);
    assert_eq!(chained(small, &[smaller]), small + 2f32.powi(-40));
}

#[test]
fn numbers_that_are_none() {
    let infinity = f32::INFINITY;
    for rule in [AMPERE, HOPPER] {
        let nan = |sum, pairs: &[[f32; 2]]| dot(rule, sum, pairs).to_bits() == 0x7fff_ffff;
        assert!(nan(f32::NAN, &[[1.0, 1.0]]));
        assert!(nan(0.0, &[[infinity, 0.0]]));
        assert!(nan(0.0, &[[infinity, 1.0], [1.0, -infinity]]));
        assert!(nan(-infinity, &[[infinity, 1.0]]));
        assert_eq!(dot(rule, 1.0, &[[infinity, -1.0]]), -infinity);
        assert_eq!(dot(rule, infinity, &[[-3.0, 5.0]]), infinity);
        // Beyond all f32, and just below.
        let top = [[32768.0, 2.0], [32768.0, 2.0]];
        assert_eq!(dot(rule, f32::MAX, &top), f32::MAX);
        assert_eq!(dot(rule, 0.0, &[[0.0, -1.0]]).to_bits(), 0);
    }
}

/// A sum by whole numbers alone, and its rounding bit by bit.
fn by_integers(rule: Rule, smallest: i32, sum: f32, pairs: &[[f32; 2]]) -> f32 {
    if !sum.is_finite() {
        return sum;
    }
    // Significands of 24 bits, and the exponent of their first.
    let parts = |x: f32, smallest: i32| {
        let field = (x.to_bits() >> 23 & 0xff) as i32;
        let fraction = i64::from(x.to_bits() & 0x7f_ffff);
        let whole = if field > 0 { fraction | 1 << 23 } else { fraction };
        let exponent = if field > 0 { field - 127 } else { -126 };
        let moved = smallest.max(exponent);
        (if x.is_sign_negative() { -whole } else { whole } >> (moved - exponent).min(63), moved)
    };
    let mut terms = Vec::new();
    let (whole, exponent) = parts(sum, -126);
    terms.push((i128::from(whole) << 23, if whole == 0 { -126 } else { exponent }));
    for [x, y] in pairs {
        let ([x, y], exponents) = {
            let (x, y) = (parts(*x, smallest), parts(*y, smallest));
            ([x.0, y.0], x.1 + y.1)
        };
        let product = i128::from(x) * i128::from(y);
        terms.push((product, if product == 0 { -126 } else { exponents }));
    }
    let largest = terms.iter().map(|term| term.1).max().expect("a term");
    // Each is so many times 2^(exponent - 46); what is kept is a multiple of 2^(largest - bits).
    let cut = |&(whole, exponent): &(i128, i32)| {
        let down = (largest - exponent) + 46 - rule.fraction_bits;
        (whole.abs() >> down.min(127)) * whole.signum()
    };
    let total: i128 = terms.iter().map(cut).sum();
    round_bits(total, largest - rule.fraction_bits)
}

/// `total * 2^unit` toward zero.
fn round_bits(total: i128, unit: i32) -> f32 {
    let mut whole = total.unsigned_abs();
    let mut exponent = unit;
    while whole >= 1 << 24 || (exponent < -149 && whole > 0) {
        whole >>= 1;
        exponent += 1;
    }
    while whole > 0 && whole < 1 << 23 && exponent > -149 {
        whole <<= 1;
        exponent -= 1;
    }
    let sign = u32::from(total < 0) << 31;
    let magnitude = match whole {
        0 => 0,
        _ if whole < 1 << 23 => whole as u32,
        _ if exponent + 150 >= 255 => 0x7f80_0000,
        _ => ((exponent + 150) as u32) << 23 | (whole as u32 & 0x7f_ffff),
    };
    f32::from_bits(sign | magnitude)
}

/// Halves of every size, near one another or far apart.
fn number(random: &mut fastrand::Rng, kind: HalfKind) -> f32 {
    let bits = match random.u32(..8) {
        0 => 0,
        1 => random.u16(..),
        2 => random.u16(..0x0400) | random.u16(..) & 0x8000,
        _ => 0x3c00 ^ random.u16(..0x0fff) ^ random.u16(..) & 0x8000,
    };
    let x = to_f32(kind, bits);
    if x.is_finite() { x } else { 1.0 }
}

#[test]
fn any_numbers_give_the_bits_of_whole_numbers() {
    let mut random = fastrand::Rng::with_seed(8);
    for (rule, kind) in [AMPERE, HOPPER]
        .into_iter()
        .flat_map(|rule| [HalfKind::F16, HalfKind::Bf16].map(|kind| (rule, kind)))
    {
        let smallest = if kind == HalfKind::F16 { -14 } else { -126 };
        for _ in 0..600 {
            let left: Left =
                std::array::from_fn(|_| std::array::from_fn(|_| number(&mut random, kind)));
            let right: Right =
                std::array::from_fn(|_| std::array::from_fn(|_| number(&mut random, kind)));
            let exponent = random.i32(-40..40);
            let first: Sums = std::array::from_fn(|_| {
                std::array::from_fn(|_| (random.f32() - 0.5) * 2f32.powi(exponent))
            });
            let mut found = first;
            add(rule, Factors::Half(kind), &left, &right, &mut found);
            for row in 0..8 {
                for col in 0..8 {
                    let mut sum = first[row][col];
                    for from in (0..16).step_by(rule.products) {
                        let k = from..from + rule.products;
                        let pairs: Vec<_> = k.map(|k| [left[row][k], right[k][col]]).collect();
                        sum = by_integers(rule, smallest, sum, &pairs);
                    }
                    let found = found[row][col];
                    assert_eq!(found.to_bits(), sum.to_bits(), "{rule:?} {kind:?}: {found} {sum}");
                }
            }
        }
    }
}

/// Ampere takes four factors of tf32 at a time: what the other four have is not looked at.
#[test]
fn an_infinite_factor_of_tf32_gives_an_infinite_sum() {
    let ones = [1f32.to_bits(); 32];
    let infinite = [f32::INFINITY.to_bits(); 32];
    let zeros = [0; 32];
    for b in [[&ones, &infinite], [&infinite, &ones]] {
        for tensor in [Tensor::Exact, Tensor::Ampere, Tensor::Hopper] {
            let out = super::super::mma(tensor, Factors::Tf32, [&ones; 4], b, [&zeros; 4]);
            assert_eq!(out, [infinite; 4], "{tensor:?}");
        }
    }
}
