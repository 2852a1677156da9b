//! Pixels to vectors.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Grid, Result, RowTokens, Span, WeightId};

/// `out[p, c] = pixel[p, c] · scale[c] + shift[c]`, for every pixel of every row of a pass over
/// images ([`crate::RowInput::Images`]). Reads rows by slot: nothing may have left before.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    /// Height and width of the images.
    pub grid: Grid,
    /// Channels of a pixel.
    pub channels: usize,
    /// Vector of `channels`.
    pub scale: WeightId,
    /// Vector of `channels`.
    pub shift: WeightId,
    /// `[rows, height, width, channels]`, written.
    pub out: Span,
}

impl Pixels {
    /// Fails where an operand lies outside what was reserved.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        let pixels = self.grid.pixels();
        let bytes = pixels.saturating_mul(self.channels);
        if bytes != layout.row_pixels {
            return Err(Error::mismatch("bytes of an image", layout.row_pixels, bytes));
        }
        layout.check_rows("pixels out", self.out, RowTokens::Each(pixels), self.channels)
    }

    pub(crate) fn cost(&self, rows: f64) -> Cost {
        let elements = rows * (self.grid.pixels() * self.channels) as f64;
        Cost { flops: 2.0 * elements, bytes: 5.0 * elements }
    }
}

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grid, channels, scale, shift, out } = self;
        write!(f, "pixels    {out}[{grid}x{channels}] = u8 . {scale} + {shift}")
    }
}
