//! Matrix product with its epilogue.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

#[cfg(feature = "cuda")]
pub(crate) use cuda::linear_workspace;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Result, Span, WeightId};

/// `out[t] = act(x[t] · Wᵀ + bias) + residual[t]`.
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
        let Self { x, weight, bias, out, k, n, .. } = self;
        write!(f, "linear    {out}[{n}] = {x}[{k}] . {weight} + {bias}")?;
        if self.activation != Activation::None {
            write!(f, " {}", self.activation)?;
        }
        self.residual.map_or(Ok(()), |residual| write!(f, " + {residual}"))
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
