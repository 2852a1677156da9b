//! Matrix product with its epilogue.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

#[cfg(feature = "cuda")]
pub(crate) use cuda::linear_workspace;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, LinearNorms, Result, Span, WeightId};

/// `out[t] = act(x[t] · Wᵀ + bias) + residual[t]`, with `x` or the residual behind its layer norm
/// where `norms` says so.
///
/// Each output is one fused multiply-add chain over `k` in rising order, so a token's result
/// depends neither on the other tokens of the batch nor on how the work was split.
/// `out` may be `residual`, never `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// `[tokens, k]`, read.
    pub x: Span,
    /// Matrix `[n, k]`.
    pub weight: WeightId,
    /// Vector of `n`.
    pub bias: WeightId,
    /// Applied before the residual is added.
    pub activation: Activation,
    /// `[tokens, n]`, added.
    pub residual: Option<Span>,
    /// `[tokens, n]`, written.
    pub out: Span,
    /// Layer norms that it takes over; none on devices that do not prefer it
    /// ([`crate::Preferences::takes_norms`]).
    pub norms: LinearNorms,
    /// Inputs.
    pub k: usize,
    /// Outputs.
    pub n: usize,
}

/// Elementwise functions an epilogue can apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x`
    None,
    /// `x * Φ(x)` by the error function.
    GeluErf,
    /// `x/2 * (1 + tanh(sqrt(2/π) * (x + 0.044715 x³)))`
    GeluTanh,
    /// `max(x, 0)`
    Relu,
    /// `tanh(x)`
    Tanh,
    /// `x / (1 + exp(-x))`
    Silu,
}

impl Linear {
    /// Fails where an operand lies outside what was reserved, or they overlap.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        layout.check_matrix("linear x", self.x, self.k)?;
        layout.check_matrix("linear out", self.out, self.n)?;
        if self.x.overlaps(&self.out) {
            return Err(Error::mismatch("linear out", "a span apart from x", self.out));
        }
        self.norms.check(layout, self.n, self.k)?;
        if self.norms.residual.is_some() && self.activation != Activation::None {
            let expected = "no activation before a residual that lies before its norm";
            return Err(Error::mismatch("linear", expected, self.activation));
        }
        if self.norms.residual.is_some() && self.residual.is_none() {
            return Err(Error::mismatch("linear norms", "a residual", "none"));
        }
        let Some(residual) = self.residual else { return Ok(()) };
        layout.check_matrix("linear residual", residual, self.n)?;
        if residual.at != self.out.at && residual.overlaps(&self.out) {
            return Err(Error::mismatch("linear residual", "out or a span apart", residual));
        }
        Ok(())
    }

    pub(crate) fn cost(&self, tokens: f64) -> Cost {
        Cost::product(tokens, self.n, self.k)
    }
}

impl fmt::Display for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, weight, bias, out, norms, k, n, .. } = self;
        write!(f, "linear    {out}[{n}] = {x}[{k}]")?;
        norms.x.map_or(Ok(()), |norm| norm.fmt(f))?;
        write!(f, " . {weight} + {bias}")?;
        if self.activation != Activation::None {
            write!(f, " {}", self.activation)?;
        }
        self.residual.map_or(Ok(()), |residual| write!(f, " + {residual}"))?;
        norms.residual.map_or(Ok(()), |norm| norm.fmt(f))?;
        norms.out.map_or(Ok(()), |moments| write!(f, " -> {moments}"))
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::GeluErf => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Relu => "relu",
            Self::Tanh => "tanh",
            Self::Silu => "silu",
        })
    }
}
