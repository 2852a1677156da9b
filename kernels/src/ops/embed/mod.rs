//! Tokens to vectors.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Result, Span, Token, WeightId};

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
    /// Fails where an operand lies outside what was reserved.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        layout.check_matrix("embed out", self.out, self.width)
    }

    /// Fails unless every index is a row of its table; tokens come from outside. `rows` are those
    /// of the word, position and kind tables.
    pub(crate) fn check_tokens(tokens: &[Token], rows: [usize; 3]) -> Result<()> {
        for token in tokens {
            below("token id", token.id as usize, rows[0])?;
            below("token position", token.position.into(), rows[1])?;
            below("token kind", token.kind.into(), rows[2])?;
        }
        Ok(())
    }

    pub(crate) fn cost(&self, tokens: f64) -> Cost {
        Cost::elementwise(tokens * self.width as f64, 10.0, 4.0)
    }
}

fn below(what: &'static str, index: usize, count: usize) -> Result<()> {
    if index >= count {
        return Err(Error::mismatch(what, format_args!("below {count}"), index));
    }
    Ok(())
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
