//! Layer normalisation.

mod cpu;

pub(crate) use cpu::Form;

use std::fmt;

use crate::{Cost, Span, WeightId};

/// `out[t] = (x[t] - mean) / sqrt(var + eps) * scale + shift`, mean and (biased) variance over
/// the `width` elements of `x[t]` (Ba et al., arXiv 1607.06450). `out` may be `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    /// `[tokens, width]`, read.
    pub x: Span,
    /// Scale vector.
    pub scale: WeightId,
    /// Shift vector.
    pub shift: WeightId,
    /// Added to the variance.
    pub eps: f32,
    /// `[tokens, width]`, written.
    pub out: Span,
    /// Elements of a token vector.
    pub width: usize,
}

impl Norm {
    pub(crate) fn cost(&self, tokens: f64) -> Cost {
        Cost::elementwise(tokens * self.width as f64, 8.0, 2.0)
    }
}

impl fmt::Display for Norm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, scale, shift, eps, out, width } = self;
        write!(f, "norm      {out}[{width}] = {x} {scale} {shift} eps={eps:e}")
    }
}
