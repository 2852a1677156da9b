//! What happens to a tile on its way out: bias, activation, residual.

use std::ops::Range;

use super::PANEL;
use crate::cpu::math;
use crate::cpu::simd::{Simd, vectorised};
use crate::{Activation, Span};

/// What is added to a product.
#[derive(Clone, Copy)]
pub enum Residual<'a> {
    /// Nothing.
    None,
    /// What the output held before.
    InPlace,
    /// A matrix of the output's shape.
    From(&'a [f32]),
}

impl<'a> Residual<'a> {
    /// Of an op that adds `given` and writes `out`; `read` is what lies there, where that is apart.
    pub(crate) fn of(given: Option<Span>, out: Span, read: &'a [f32]) -> Self {
        match given {
            None => Self::None,
            Some(given) if given.at == out.at => Self::InPlace,
            Some(_) => Self::From(read),
        }
    }
}

/// `act(x + bias) + residual`, or `act(x + bias + residual)`.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// One number an output.
    pub bias: &'a [f32],
    /// Applied to the sum.
    pub activation: Activation,
    /// Added to it.
    pub residual: Residual<'a>,
    /// Whether the residual is added first.
    pub activates_last: bool,
}

impl Epilogue<'_> {
    /// Finishes `columns` of one token, whose outputs begin at `at` of the whole matrix.
    pub(crate) fn finish(
        &self,
        simd: Simd,
        sums: &[f32; PANEL],
        at: usize,
        columns: Range<usize>,
        out: &mut [f32],
    ) {
        let order = match self.residual {
            Residual::None => Order::Nothing,
            Residual::From(residual) => {
                out.copy_from_slice(&residual[at + columns.start..at + columns.end]);
                Order::of(self.activates_last)
            }
            Residual::InPlace => Order::of(self.activates_last),
        };
        finish(simd, sums, &self.bias[columns], self.activation, order, out);
    }
}

/// When the residual is added.
#[derive(Clone, Copy)]
enum Order {
    Nothing,
    Before,
    After,
}

impl Order {
    fn of(activates_last: bool) -> Self {
        if activates_last { Self::Before } else { Self::After }
    }
}

vectorised! {
    /// Finishes up to 32 outputs of one token. `out` holds what the residual adds, or nothing of
    /// interest.
    fn finish(
        sums: &[f32; PANEL],
        bias: &[f32],
        activation: Activation,
        order: Order,
        out: &mut [f32],
    ) = finish_body
}

#[inline(always)]
fn finish_body(
    sums: &[f32; PANEL],
    bias: &[f32],
    activation: Activation,
    order: Order,
    out: &mut [f32],
) {
    match activation {
        Activation::None => apply(sums, bias, |x| x, order, out),
        Activation::GeluErf => apply(sums, bias, math::gelu_erf, order, out),
        Activation::GeluTanh => apply(sums, bias, math::gelu_tanh, order, out),
        Activation::Relu => apply(sums, bias, math::relu, order, out),
        Activation::Tanh => apply(sums, bias, math::tanh, order, out),
        Activation::Silu => apply(sums, bias, math::silu, order, out),
    }
}

#[inline(always)]
fn apply(sums: &[f32; PANEL], bias: &[f32], f: impl Fn(f32) -> f32, order: Order, out: &mut [f32]) {
    match order {
        Order::Nothing => each(sums, bias, |sum, _| f(sum), out),
        Order::Before => each(sums, bias, |sum, out| f(sum + out), out),
        Order::After => each(sums, bias, |sum, out| f(sum) + out, out),
    }
}

#[inline(always)]
fn each(sums: &[f32; PANEL], bias: &[f32], f: impl Fn(f32, f32) -> f32, out: &mut [f32]) {
    // Whole panels get a length the compiler knows; both arms compute the same.
    if let (Ok(bias), Ok(out)) =
        (<&[f32; PANEL]>::try_from(bias), <&mut [f32; PANEL]>::try_from(&mut *out))
    {
        for i in 0..PANEL {
            out[i] = f(sums[i] + bias[i], out[i]);
        }
    } else {
        for ((out, &sum), &bias) in out.iter_mut().zip(sums).zip(bias) {
            *out = f(sum + bias, *out);
        }
    }
}
