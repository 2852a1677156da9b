//! Dot products as tensor cores round them.
//!
//! A dot product is one sum: its products and the accumulator are aligned to the largest exponent
//! among them, cut after so many fraction bits, and added exactly; the sum is rounded toward zero
//! to f32. The exponent of a product is the sum of those of its factors, though its significand may
//! reach 4; a subnormal factor has the smallest exponent of its format; a zero counts as 2^-126.
//! Source: Xie, Gao, Fan and Sun, "MMA-Sim: Bit-Accurate Reference Model of Tensor Cores and Matrix
//! Cores" (arXiv 2511.10909), whose models were compared with the hardware.

use super::{Left, Right, Sums};
use crate::isa::{Factors, HalfKind};
use crate::simd::whole;

/// How a tensor core sums up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Products of one sum; the next sum begins with its result.
    pub(super) products: usize,
    /// Fraction bits that are kept when terms are aligned.
    pub(super) fraction_bits: i32,
}

/// Ampere and Ada Lovelace.
pub(super) const AMPERE: Rule = Rule { products: 8, fraction_bits: 24 };
pub(super) const HOPPER: Rule = Rule { products: 16, fraction_bits: 25 };

/// The exponent of zeros where only others count.
const OF_ZERO: i32 = -1000;
/// What the fast way takes for the least exponent: with factors and sums within their bounds no
/// other is below.
const LEAST: i32 = -100;
/// Largest magnitude of the exponent of a factor, and of a sum, for the fast way.
const BOUNDS: [i32; 2] = [30, 60];

/// Adds products to sums.
#[inline(always)]
pub(super) fn add(rule: Rule, factors: Factors, left: &Left, right: &Right, sums: &mut Sums) {
    let smallest = match factors {
        Factors::Half(HalfKind::F16) => -14,
        Factors::Half(HalfKind::Bf16) | Factors::Tf32 => -126,
    };
    let mut left_exponents = [[0; 16]; 8];
    let mut right_exponents = [[0; 8]; 16];
    let mut is_fast = true;
    for (row, out) in left.iter().zip(&mut left_exponents) {
        is_fast &= exponents(row, smallest, BOUNDS[0], out);
    }
    for (row, out) in right.iter().zip(&mut right_exponents) {
        is_fast &= exponents(row, smallest, BOUNDS[0], out);
    }
    for row in sums.iter() {
        is_fast &= exponents(row, -126, BOUNDS[1], &mut [0; 8]);
    }
    if !is_fast {
        slow(rule, smallest, left, right, sums);
        return;
    }
    for (row, sums) in sums.iter_mut().enumerate() {
        for from in (0..16).step_by(rule.products) {
            let mut largest = least(sums);
            let mut parts = [[0; 8]; 2];
            for from in (from..from + rule.products).step_by(8) {
                raise(&mut largest, &left_exponents[row], &right_exponents, from);
            }
            let scales = largest.map(|largest| power(rule.fraction_bits.wrapping_sub(largest)));
            // Two parts, as each holds eight products below 2^27.
            for (part, from) in parts.iter_mut().zip((from..from + rule.products).step_by(8)) {
                gather(part, &left[row], right, from, &scales);
            }
            *sums = round(rule, sums, &parts, &largest, &scales);
        }
    }
}

/// 2^`exponent`
#[inline(always)]
fn power(exponent: i32) -> f32 {
    f32::from_bits((exponent.wrapping_add(127) as u32) << 23)
}

/// The exponent of a number that is not subnormal; -127 of a zero.
#[inline(always)]
fn exponent(x: f32) -> i32 {
    ((x.to_bits() >> 23 & 0xff) as i32).wrapping_sub(127)
}

/// The exponents of a row; whether all are within `bound`, or of zeros.
#[inline(always)]
fn exponents<const N: usize>(
    row: &[f32; N],
    smallest: i32,
    bound: i32,
    out: &mut [i32; N],
) -> bool {
    let mut beyond = 0;
    for (x, out) in row.iter().zip(out) {
        let exponent = exponent(*x).max(smallest);
        let is_zero = x.to_bits() << 1 == 0;
        beyond |= i32::from(!is_zero & ((exponent > bound) | (exponent < bound.wrapping_neg())));
        *out = if is_zero { OF_ZERO } else { exponent };
    }
    beyond == 0
}

/// The exponents of sums, as far as they count.
#[inline(always)]
fn least(sums: &[f32; 8]) -> [i32; 8] {
    let mut largest = [LEAST; 8];
    for (largest, sum) in largest.iter_mut().zip(sums) {
        *largest = (*largest).max(exponent(*sum));
    }
    largest
}

/// Raises exponents to those of eight products of each column.
#[inline(always)]
fn raise(largest: &mut [i32; 8], left: &[i32; 16], right: &[[i32; 8]; 16], from: usize) {
    for k in 0..8 {
        let (left, right) = (left[from + k], &right[from + k]);
        for (largest, right) in largest.iter_mut().zip(right) {
            *largest = (*largest).max(left.wrapping_add(*right));
        }
    }
}

/// Adds eight products of each column, cut.
#[inline(always)]
fn gather(part: &mut [i32; 8], left: &[f32; 16], right: &Right, from: usize, scales: &[f32; 8]) {
    for k in 0..8 {
        let (left, right) = (left[from + k], &right[from + k]);
        for ((part, right), scale) in part.iter_mut().zip(right).zip(scales) {
            *part = part.wrapping_add(whole(left * right * scale));
        }
    }
}

/// The sums of each column with what they began with, rounded.
#[inline(always)]
fn round(
    rule: Rule,
    sums: &[f32; 8],
    parts: &[[i32; 8]; 2],
    largest: &[i32; 8],
    scales: &[f32; 8],
) -> [f32; 8] {
    let mut out = [0f32; 8];
    for col in 0..8 {
        let first = whole(sums[col] * scales[col]).wrapping_add(parts[0][col]);
        let sum = f64::from(first) + f64::from(parts[1][col]);
        // Cut to the bits of an f32, whose exponents suffice.
        let cut = f64::from_bits(sum.to_bits() & !((1 << 29) - 1));
        out[col] = cut as f32 * power(largest[col].wrapping_sub(rule.fraction_bits));
    }
    out
}

/// The same for all numbers there are, one after the other.
#[cold]
#[inline(never)]
fn slow(rule: Rule, smallest: i32, left: &Left, right: &Right, sums: &mut Sums) {
    for (left, sums) in left.iter().zip(sums) {
        for (col, sum) in sums.iter_mut().enumerate() {
            for from in (0..16).step_by(rule.products) {
                let k = from..from + rule.products;
                let pairs = k.map(|k| [left[k], right[k][col]]);
                *sum = any(rule, smallest, *sum, pairs);
            }
        }
    }
}

/// One sum of any numbers.
fn any(rule: Rule, smallest: i32, sum: f32, pairs: impl Iterator<Item = [f32; 2]> + Clone) -> f32 {
    let products = pairs.clone().map(|[x, y]| f64::from(x) * f64::from(y));
    // No product of two halves is too large for an f64.
    let plain = f64::from(sum) + products.clone().sum::<f64>();
    if plain.is_nan() {
        return f32::from_bits(0x7fff_ffff);
    }
    if plain.is_infinite() {
        return plain as f32;
    }
    let of_product = |[x, y]: [f32; 2]| match x * y == 0.0 && (x == 0.0 || y == 0.0) {
        true => -126,
        false => exponent(x).max(smallest) + exponent(y).max(smallest),
    };
    let largest = pairs.map(of_product).fold(exponent(sum).max(-126), i32::max);
    let scale = 2f64.powi(rule.fraction_bits - largest);
    let terms = products.chain([f64::from(sum)]);
    toward_zero(terms.map(|term| (term * scale).trunc()).sum::<f64>() / scale)
}

fn toward_zero(x: f64) -> f32 {
    let near = x as f32;
    if x.abs() < 2f64.powi(128) && f64::from(near).abs() > x.abs() {
        f32::from_bits(near.to_bits() - 1)
    } else {
        near
    }
}

#[cfg(test)]
mod tests;
