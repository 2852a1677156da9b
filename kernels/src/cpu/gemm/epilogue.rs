//! What happens to a tile on its way out: bias, activation, residual.

use super::PANEL;
use crate::Activation;
use crate::cpu::math;
use crate::cpu::simd::vectorised;

/// Added after the activation.
#[derive(Clone, Copy)]
pub enum Residual<'a> {
    /// Nothing.
    None,
    /// What the output held before.
    InPlace,
    /// A matrix of the output's shape.
    From(&'a [f32]),
}

/// `act(x + bias) + residual`.
#[derive(Clone, Copy)]
pub struct Epilogue<'a> {
    /// One number an output.
    pub bias: &'a [f32],
    /// Applied before the residual is added.
    pub activation: Activation,
    /// Added last.
    pub residual: Residual<'a>,
}

vectorised! {
    /// Finishes up to 32 outputs of one token. `out` holds what the residual adds, or nothing of
    /// interest.
    pub(super) fn finish(
        sums: &[f32; PANEL],
        bias: &[f32],
        activation: Activation,
        add: bool,
        out: &mut [f32],
    ) = finish_body
}

#[inline(always)]
fn finish_body(
    sums: &[f32; PANEL],
    bias: &[f32],
    activation: Activation,
    add: bool,
    out: &mut [f32],
) {
    match activation {
        Activation::None => apply(sums, bias, |x| x, add, out),
        Activation::GeluErf => apply(sums, bias, math::gelu_erf, add, out),
        Activation::GeluTanh => apply(sums, bias, math::gelu_tanh, add, out),
        Activation::Relu => apply(sums, bias, math::relu, add, out),
        Activation::Tanh => apply(sums, bias, math::tanh, add, out),
        Activation::Silu => apply(sums, bias, math::silu, add, out),
    }
}

#[inline(always)]
fn apply(sums: &[f32; PANEL], bias: &[f32], f: impl Fn(f32) -> f32, add: bool, out: &mut [f32]) {
    // Whole panels get a length the compiler knows; both arms compute the same.
    if let (Ok(bias), Ok(out)) =
        (<&[f32; PANEL]>::try_from(bias), <&mut [f32; PANEL]>::try_from(&mut *out))
    {
        for i in 0..PANEL {
            let y = f(sums[i] + bias[i]);
            out[i] = if add { y + out[i] } else { y };
        }
    } else {
        for ((out, &sum), &bias) in out.iter_mut().zip(sums).zip(bias) {
            let y = f(sum + bias);
            *out = if add { y + *out } else { y };
        }
    }
}
