//! Keeps the first token of every row.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use crate::{ArenaLayout, Cost, Result, Span};

/// Keeps the first token of every live row and drops the others: afterwards a row is one token
/// long, and ops over tokens work on one vector a row.
///
/// A head that pools the first token needs no other token once the last attention has run, which
/// spares the last layer most of its work.
#[derive(Clone, Debug, PartialEq)]
pub struct Narrow {
    /// `[tokens, width]` each: the values still to be read.
    pub values: [Span; 2],
    /// Elements of a token vector.
    pub width: usize,
}

impl Narrow {
    /// Fails where an operand lies outside what was reserved.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        let mut values = self.values.into_iter();
        values.try_for_each(|value| layout.check_matrix("narrow value", value, self.width))
    }

    pub(crate) fn cost(&self, rows: f64) -> Cost {
        Cost::elementwise(rows * 2.0 * self.width as f64, 0.0, 2.0)
    }
}

impl fmt::Display for Narrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { values: [a, b], width } = self;
        write!(f, "narrow    {a}[{width}] {b}[{width}]")
    }
}
