//! What an op costs, by counting.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// Work of an op or a segment at given row and token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations; a multiply-add counts two.
    pub flops: f64,
    /// Bytes read and written once each, at 4 bytes an element, weights included.
    pub bytes: f64,
}

impl Cost {
    pub(crate) fn elementwise(elements: f64, flops_each: f64, touches_each: f64) -> Self {
        Self { flops: elements * flops_each, bytes: elements * touches_each * 4.0 }
    }

    pub(crate) fn product(m: f64, n: usize, k: usize) -> Self {
        let (n, k) = (n as f64, k as f64);
        Self { flops: 2.0 * m * n * k, bytes: 4.0 * (m * k + n * k + m * n) }
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), Add::add)
    }
}
