//! Convolution with its epilogue.

mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

pub(crate) use cpu::ConvScratch;

use std::fmt;

use crate::{Activation, ArenaLayout, Cost, Error, Grid, Result, RowTokens, Span, WeightId};

/// `out[y, x] = act(Σ W[ky, kx] · in[stride·y + ky - padding, stride·x + kx - padding] + bias +
/// residual[y, x])`, for every row alive; pixels outside the map are 0.
///
/// Sums run over `(ky, kx, input)` in rising order, so a row's result depends neither on the
/// other rows of the batch nor on how the work was split. `out` may be `residual`, never `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// `[rows, from.height, from.width, inputs]`, read.
    pub x: Span,
    /// The map that is read.
    pub from: Grid,
    /// Channels read.
    pub inputs: usize,
    /// Matrix `[outputs, kernel · kernel · inputs]`; columns by `(ky, kx, input)`.
    pub weight: WeightId,
    /// Vector of `outputs`.
    pub bias: WeightId,
    /// Pixels of a side of the window.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// As `out`, added before the activation.
    pub residual: Option<Span>,
    /// Applied last.
    pub activation: Activation,
    /// `[rows, to.height, to.width, outputs]`, written.
    pub out: Span,
    /// Channels written.
    pub outputs: usize,
}

impl Conv2d {
    /// The map that is written.
    pub fn to(&self) -> Grid {
        self.from.windows(self.kernel, self.stride, self.padding)
    }

    /// Inputs of one output.
    pub fn k(&self) -> usize {
        self.kernel * self.kernel * self.inputs
    }

    /// Whether every output pixel reads just the pixel in its place.
    pub fn is_pointwise(&self) -> bool {
        (self.kernel, self.stride, self.padding) == (1, 1, 0)
    }

    /// Fails where an operand lies outside what was reserved, or they overlap.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        let (from, to) = (RowTokens::Each(self.from.pixels()), RowTokens::Each(self.to().pixels()));
        if layout.row_pixels == 0 {
            return Err(Error::mismatch("convolution", "a layout for images", "one for texts"));
        }
        if self.kernel == 0 || self.stride == 0 || self.to().pixels() == 0 {
            let found = format_args!("kernel {} stride {}", self.kernel, self.stride);
            return Err(Error::mismatch("convolution", "at least one window", found));
        }
        layout.check_rows("convolution x", self.x, from, self.inputs)?;
        layout.check_rows("convolution out", self.out, to, self.outputs)?;
        if self.x.overlaps(&self.out) {
            return Err(Error::mismatch("convolution out", "a span apart from x", self.out));
        }
        let Some(residual) = self.residual else { return Ok(()) };
        layout.check_rows("convolution residual", residual, to, self.outputs)?;
        if residual.at != self.out.at && residual.overlaps(&self.out) {
            let expected = "out or a span apart";
            return Err(Error::mismatch("convolution residual", expected, residual));
        }
        Ok(())
    }

    pub(crate) fn cost(&self, rows: f64) -> Cost {
        let (from, to) = (self.from.pixels() as f64, self.to().pixels() as f64);
        let (inputs, outputs, k) = (self.inputs as f64, self.outputs as f64, self.k() as f64);
        let residual = if self.residual.is_some() { rows * to * outputs } else { 0.0 };
        Cost {
            flops: 2.0 * rows * to * outputs * k,
            bytes: 4.0 * (rows * (from * inputs + to * outputs) + outputs * k + residual),
        }
    }
}

impl fmt::Display for Conv2d {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { x, from, inputs, weight, bias, kernel, stride, out, outputs, .. } = self;
        write!(f, "conv2d    {out}[{}x{outputs}] = {x}[{from}x{inputs}] * ", self.to())?;
        write!(f, "{weight}[{kernel}x{kernel}/{stride}] + {bias}")?;
        if let Some(residual) = self.residual {
            write!(f, " + {residual}")?;
        }
        match self.activation {
            Activation::None => Ok(()),
            activation => write!(f, " {activation}"),
        }
    }
}
