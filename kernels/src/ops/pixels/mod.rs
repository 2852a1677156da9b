//! Pixels to vectors.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod fold;

pub use fold::Fold;

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
    /// Where blocks of pixels are written in place of pixels.
    pub fold: Option<Fold>,
    /// `[rows, to.height, to.width, width]`, written.
    pub out: Span,
}

impl Pixels {
    /// The map that is written.
    pub fn to(&self) -> Grid {
        self.fold.map_or(self.grid, |fold| fold.to)
    }

    /// Channels that are written.
    pub fn width(&self) -> usize {
        self.fold.map_or(self.channels, |fold| fold.width)
    }

    /// Fails where an operand lies outside what was reserved, or a block is too small for its
    /// pixels.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        let bytes = self.grid.pixels().saturating_mul(self.channels);
        if bytes != layout.row_pixels {
            return Err(Error::mismatch("bytes of an image", layout.row_pixels, bytes));
        }
        if let Some(Fold { side, width, .. }) = self.fold {
            let block = side.saturating_mul(side).saturating_mul(self.channels);
            if block == 0 {
                return Err(Error::mismatch("block", "at least one pixel", side));
            }
            Error::check_fits("channels of a block", block, width)?;
        }
        layout.check_rows("pixels out", self.out, RowTokens::Each(self.to().pixels()), self.width())
    }

    pub(crate) fn cost(&self, rows: f64) -> Cost {
        let read = rows * (self.grid.pixels() * self.channels) as f64;
        let written = rows * (self.to().pixels() * self.width()) as f64;
        Cost { flops: 2.0 * read, bytes: read + 4.0 * written }
    }
}

impl fmt::Display for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grid, channels, scale, shift, fold, out } = self;
        match fold {
            None => write!(f, "pixels    {out}[{grid}x{channels}] = u8")?,
            Some(Fold { side, to, width, .. }) => {
                write!(f, "pixels    {out}[{to}x{width}] = {side}x{side} of u8")?;
                write!(f, "[{grid}x{channels}]")?;
            }
        }
        write!(f, " . {scale} + {shift}")
    }
}
