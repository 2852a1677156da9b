//! Packs the rows that are still needed.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Result, RowTokens, Span};

/// Drops the rows that have their answer and need not stay, and moves the others together in
/// their order. Afterwards `x` holds the tokens of the rows alive, packed.
#[derive(Clone, Debug, PartialEq)]
pub struct Compact {
    /// `[tokens, width]`, the one value that crosses a site.
    pub x: Span,
    /// Tokens of a row.
    pub tokens: RowTokens,
    /// Elements of a token vector.
    pub width: usize,
}

impl Compact {
    /// Fails where an operand lies outside what was reserved.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        layout.check_rows("compact x", self.x, self.tokens, self.width)
    }

    /// The same for the value of a site where rows are parked: it must be resident.
    pub(crate) fn check_site(&self, layout: &ArenaLayout) -> Result<()> {
        self.check(layout)?;
        if layout.resident.iter().any(|value| value.at == self.x.at) {
            return Ok(());
        }
        Err(Error::mismatch("site", "a resident value", self.x))
    }

    pub(crate) fn cost(&self, rows: f64, tokens: f64) -> Cost {
        let tokens = self.tokens.of(rows, tokens);
        Cost::elementwise(tokens * self.width as f64, 0.0, 2.0)
    }
}

impl fmt::Display for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, width, .. } = self;
        write!(f, "compact   {x}[{width}]")
    }
}
