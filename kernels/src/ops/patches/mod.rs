//! Patches of images to rows of tokens.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Result, RowTokens, Span, WeightId};

/// `out[t] = position[t] + (first[t] or x[t - firsts])`, for every token of every row: learnt
/// tokens stand in front of the patches (Dosovitskiy et al., arXiv 2010.11929; the second of
/// Touvron et al., arXiv 2012.12877). Rows are as they were admitted: nobody has left.
#[derive(Clone, Debug, PartialEq)]
pub struct Patches {
    /// `[rows, patches, width]`, read.
    pub x: Span,
    /// Vectors of a row.
    pub patches: usize,
    /// Table `[firsts, width]`.
    pub first: WeightId,
    /// Tokens in front of the patches.
    pub firsts: usize,
    /// Table `[firsts + patches, width]`.
    pub position: WeightId,
    /// `[rows, firsts + patches, width]`, written: all tokens of a row.
    pub out: Span,
    /// Elements of a token vector.
    pub width: usize,
}

impl Patches {
    /// Tokens of a row.
    pub fn tokens(&self) -> usize {
        self.firsts + self.patches
    }

    /// Fails where an operand lies outside what was reserved, or they overlap.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        if layout.image_tokens != self.tokens() {
            let expected = format_args!("{} tokens of a row", layout.image_tokens);
            return Err(Error::mismatch("patches", expected, self.tokens()));
        }
        layout.check_rows("patches x", self.x, RowTokens::Each(self.patches), self.width)?;
        layout.check_matrix("patches out", self.out, self.width)?;
        if self.x.overlaps(&self.out) {
            return Err(Error::mismatch("patches out", "a span apart from x", self.out));
        }
        Ok(())
    }

    pub(crate) fn cost(&self, tokens: f64) -> Cost {
        Cost::elementwise(tokens * self.width as f64, 1.0, 3.0)
    }
}

impl fmt::Display for Patches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, patches, first, firsts, position, out, width } = self;
        write!(f, "patches   {out}[{width}] = {firsts} of {first}, ")?;
        write!(f, "{x}[{patches}x{width}] + {position}")
    }
}
