//! Tokens to vectors.

mod cpu;

use std::fmt;

use crate::{Cost, Span, WeightId};

/// `out[t] = norm(word[id] + position[pos] + kind[kind])`, [`Norm`](crate::Norm)'s formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed {
    /// Word table `[vocab, width]`.
    pub word: WeightId,
    /// Position table.
    pub position: WeightId,
    /// Kind table, where the model has one.
    pub kind: Option<WeightId>,
    /// Scale of the norm.
    pub scale: WeightId,
    /// Shift of the norm.
    pub shift: WeightId,
    /// Added to the variance.
    pub eps: f32,
    /// `[tokens, width]`, written.
    pub out: Span,
    /// Elements of a token vector.
    pub width: usize,
}

impl Embed {
    pub(crate) fn cost(&self, tokens: f64) -> Cost {
        Cost::elementwise(tokens * self.width as f64, 10.0, 4.0)
    }
}

impl fmt::Display for Embed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "embed     {}[{}] = norm({} + {}",
            self.out, self.width, self.word, self.position
        )?;
        if let Some(kind) = self.kind {
            write!(f, " + {kind}")?;
        }
        write!(f, ") {} {} eps={:e}", self.scale, self.shift, self.eps)
    }
}
