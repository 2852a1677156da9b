//! The largest or the mean of windows of pixels.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use crate::{ArenaLayout, Cost, Error, Grid, Result, RowTokens, Span};

/// `out[y, x] = max or mean of in over the window of (y, x)`, by channel, for every row alive.
/// Pixels outside the map do not count; a maximum over a NaN is NaN.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool2d {
    /// `[rows, from.height, from.width, width]`, read.
    pub x: Span,
    /// The map that is read.
    pub from: Grid,
    /// Channels.
    pub width: usize,
    /// Which pixels make one.
    pub window: Window,
    /// `[rows, to.height, to.width, width]`, written.
    pub out: Span,
}

/// Which pixels a [`Pool2d`] makes one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The largest of `kernel` x `kernel` pixels.
    Max {
        /// Pixels of a side.
        kernel: usize,
        /// Pixels from one window to the next.
        stride: usize,
        /// Pixels before the first, less than `kernel`.
        padding: usize,
    },
    /// The mean of the pixels `floor(i·n/to) .. ceil((i + 1)·n/to)` along each side of `n`
    /// (PyTorch's adaptive average).
    MeanTo(Grid),
}

impl Pool2d {
    /// The map that is written.
    pub fn to(&self) -> Grid {
        match self.window {
            Window::Max { kernel, stride, padding } => self.from.windows(kernel, stride, padding),
            Window::MeanTo(to) => to,
        }
    }

    /// Fails where an operand lies outside what was reserved, or they overlap.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        if let Window::Max { kernel, stride, padding } = self.window
            && (stride == 0 || padding >= kernel)
        {
            let found = format_args!("{kernel} / {stride} with padding {padding}");
            return Err(Error::mismatch("pool window", "a stride, padding in the window", found));
        }
        let (from, to) = (self.from.pixels(), self.to().pixels());
        if from == 0 || to == 0 {
            return Err(Error::mismatch("pool", "at least one window", self.from));
        }
        layout.check_rows("pool x", self.x, RowTokens::Each(from), self.width)?;
        layout.check_rows("pool out", self.out, RowTokens::Each(to), self.width)?;
        if self.x.overlaps(&self.out) {
            return Err(Error::mismatch("pool out", "a span apart from x", self.out));
        }
        Ok(())
    }

    pub(crate) fn cost(&self, rows: f64) -> Cost {
        let (from, to) = (self.from.pixels() as f64, self.to().pixels() as f64);
        let each = match self.window {
            Window::Max { kernel, .. } => (kernel * kernel) as f64,
            Window::MeanTo(_) => (from / to).max(1.0),
        };
        let width = self.width as f64;
        Cost { flops: rows * to * width * each, bytes: 4.0 * rows * width * (from + to) }
    }
}

impl fmt::Display for Pool2d {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, from, width, out, .. } = self;
        write!(f, "pool2d    {out}[{}x{width}] = {x}[{from}x{width}] ", self.to())?;
        match self.window {
            Window::Max { kernel, stride, .. } => write!(f, "max {kernel}x{kernel}/{stride}"),
            Window::MeanTo(_) => write!(f, "mean"),
        }
    }
}
