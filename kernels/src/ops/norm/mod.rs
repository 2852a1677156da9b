//! Layer normalisation.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod taken;

pub(crate) use cpu::{Form, for_each_token};
#[cfg(feature = "cuda")]
pub(crate) use taken::MOMENT_COLUMNS;
pub use taken::{LinearNorms, MomentsId, Normalised, Standardised};

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Result, Span, WeightId};

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

/// The parameters of a norm that another op makes on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormWeights {
    /// Scale vector.
    pub scale: WeightId,
    /// Shift vector.
    pub shift: WeightId,
    /// Added to the variance.
    pub eps: f32,
}

impl Norm {
    /// Fails where an operand lies outside what was reserved, or they overlap in part.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        layout.check_matrix("norm x", self.x, self.width)?;
        layout.check_matrix("norm out", self.out, self.width)?;
        if self.x.at != self.out.at && self.x.overlaps(&self.out) {
            return Err(Error::mismatch("norm out", "x or a span apart", self.out));
        }
        Ok(())
    }

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
