//! Packs the rows that are still needed.

mod cpu;

use std::fmt;

use crate::{Cost, Span};

/// Drops the rows that have their answer and need not stay, and moves the others together in
/// their order. Afterwards `x` holds the tokens of the rows alive, packed.
#[derive(Clone, Debug, PartialEq)]
pub struct Compact {
    /// `[tokens, width]`, the one value that crosses a site.
    pub x: Span,
    /// Same size, free at a site: devices that gather use it.
    pub scratch: Span,
    /// Elements of a token vector.
    pub width: usize,
}

impl Compact {
    pub(crate) fn cost(&self, tokens: f64) -> Cost {
        Cost::elementwise(tokens * self.width as f64, 0.0, 2.0)
    }
}

impl fmt::Display for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, scratch, width } = self;
        write!(f, "compact   {x}[{width}] by {scratch}")
    }
}
