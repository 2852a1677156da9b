//! Tokens to vectors.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, NormWeights, Result, Span, Token, WeightId};

/// `out[t] = word[id] + position[pos] + kind[kind]`, behind a norm where there is one, by
/// [`Norm`](crate::Norm)'s formula.
#[derive(Clone, Debug, PartialEq)]
pub struct Embed {
    /// Word table `[vocab, width]`.
    pub word: WeightId,
    /// Position table.
    pub position: WeightId,
    /// Kind table, where the model has one.
    pub kind: Option<WeightId>,
    /// Of the sum, where the model has one.
    pub norm: Option<NormWeights>,
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
        let Self { word, position, kind, norm, out, width } = self;
        let open = if norm.is_some() { "norm(" } else { "" };
        write!(f, "embed     {out}[{width}] = {open}{word} + {position}")?;
        if let Some(kind) = kind {
            write!(f, " + {kind}")?;
        }
        let Some(NormWeights { scale, shift, eps }) = norm else { return Ok(()) };
        write!(f, ") {scale} {shift} eps={eps:e}")
    }
}
