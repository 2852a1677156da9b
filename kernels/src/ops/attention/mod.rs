//! Multi-head self-attention within each row.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

pub(crate) use cpu::AttentionScratch;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Result, Span};

/// `out[t] = softmax(q[t] · Kᵀ / sqrt(head_dim)) · V` per head, over the tokens of `t`'s own row
/// (Vaswani et al., arXiv 1706.03762).
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// `[tokens, 3 * heads * head_dim]`: queries, keys, values side by side.
    pub qkv: Span,
    /// `[tokens, heads * head_dim]`, written.
    pub out: Span,
    /// Number of heads.
    pub heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

impl Attention {
    /// Devices size their scratch for heads up to this.
    pub const HEAD_DIM_MAX: usize = 256;

    /// Fails where an operand lies outside what was reserved, or they overlap.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        let width = self.heads.saturating_mul(self.head_dim);
        layout.check_matrix("attention qkv", self.qkv, width.saturating_mul(3))?;
        layout.check_matrix("attention out", self.out, width)?;
        if self.head_dim > Self::HEAD_DIM_MAX {
            let expected = format!("heads of at most {} elements", Self::HEAD_DIM_MAX);
            return Err(Error::mismatch("attention", expected, self.head_dim));
        }
        if self.qkv.overlaps(&self.out) {
            return Err(Error::mismatch("attention out", "a span apart from qkv", self.out));
        }
        Ok(())
    }

    pub(crate) fn cost(&self, rows: f64, tokens: f64) -> Cost {
        let width = (self.heads * self.head_dim) as f64;
        let pairs = if rows > 0.0 { tokens * tokens / rows } else { 0.0 };
        Cost {
            flops: pairs * (4.0 * width + 5.0 * self.heads as f64),
            bytes: 16.0 * tokens * width,
        }
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { qkv, out, heads, head_dim } = self;
        write!(f, "attention {out}[{}] = {qkv} heads={heads}x{head_dim}", heads * head_dim)
    }
}
