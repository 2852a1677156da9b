//! Where a value lies in the arena.

use std::fmt;

use crate::{Error, Result};

/// A range of the device arena, counted in elements of the device's own storage type.
///
/// A span is where a matrix of `tokens_max` rows lies; how many of its rows are alive during a
/// pass is known only to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// First element.
    pub at: usize,
    /// Number of elements.
    pub len: usize,
}

impl Span {
    /// The element after the last.
    pub fn end(&self) -> usize {
        self.at + self.len
    }

    /// Fails unless it holds `len` elements and lies within the first `end` of the arena.
    pub(crate) fn check(&self, what: &'static str, len: usize, end: usize) -> Result<()> {
        if self.len < len {
            return Err(Error::mismatch(what, format_args!("{len} elements"), self.len));
        }
        match self.at.checked_add(self.len) {
            Some(found) if found <= end => Ok(()),
            _ => Err(Error::mismatch(
                what,
                format_args!("a span within {end} elements"),
                format_args!("{self} + {}", self.len),
            )),
        }
    }

    /// Whether the two ranges share an element.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.at < other.end() && other.at < self.end()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_do_not_overlap() {
        let left = Span { at: 0, len: 8 };
        assert!(!left.overlaps(&Span { at: 8, len: 1 }));
        assert!(left.overlaps(&Span { at: 7, len: 4 }));
    }
}
