//! A convolution, and its numbers: read in pieces, its batch norm folded in.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::file::{Checkpoint, Tensor};

/// Added to the variance of a batch norm: what PyTorch, timm and Hugging Face use.
const NORM_EPS: f64 = 1e-5;

/// The tensors of a batch norm, by the ends of their names.
pub(crate) const NORM_PARTS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// A square convolution with its bias, batch norm folded in.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv {
    /// Where its numbers come from.
    pub filter: Filter,
    /// Channels read.
    pub inputs: usize,
    /// Channels written.
    pub outputs: usize,
    /// Pixels of a side of the window.
    pub kernel: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
    /// Whether a ReLU follows at once.
    pub relu: bool,
}

/// How many windows of `kernel` fit on each side, at steps of `stride`.
pub(crate) fn windows(
    (height, width): (usize, usize),
    kernel: usize,
    stride: usize,
    padding: usize,
) -> Option<(usize, usize)> {
    let side = |pixels: usize| Some((pixels + 2 * padding).checked_sub(kernel)? / stride + 1);
    Some((side(height)?, side(width)?))
}

/// Where the numbers of a convolution come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// From the checkpoint.
    Trained {
        /// `[outputs, inputs, kernel, kernel]`, or `[outputs, inputs · kernel · kernel]` of a
        /// linear layer over a flattened map.
        weight: String,
        /// `[outputs]`.
        bias: Option<String>,
        /// Start of the four names of a batch norm: `bn1` for `bn1.running_mean` and so on.
        norm: Option<String>,
    },
    /// The option-A shortcut (He et al., arXiv 1512.03385): output `c` copies input
    /// `c - (outputs - inputs) / 2`, others are 0.
    Copy,
}

/// What a norm does to one output: `scale * x + shift`.
#[derive(Clone, Copy)]
struct Fold {
    scale: f64,
    shift: f64,
}

impl Conv {
    /// Height and width of the map that it makes of one of `map`; `None` where nothing is left.
    pub fn map(&self, map: (usize, usize)) -> Option<(usize, usize)> {
        windows(map, self.kernel, self.stride, self.padding)
    }

    /// Weights of the outputs `range` as `[range, ky, kx, input]`, for a spec that
    /// [`resolve`](crate::resolve()) has accepted. A batch norm after it is folded in, in double
    /// precision: `w * gamma / sqrt(variance + 1e-5)`.
    ///
    /// Errors: a value that is not finite, a negative variance, or a fold beyond f32.
    pub fn weights(&self, checkpoint: &Checkpoint, range: Range<usize>) -> Result<Vec<f32>> {
        let Filter::Trained { weight, .. } = &self.filter else {
            return Ok(self.copied(range));
        };
        let tensor = checkpoint.tensor(weight)?;
        let folds = self.folds(checkpoint, range.clone())?;
        let (pixels, each) = (self.kernel * self.kernel, self.columns());
        let stored = tensor.slice(range.start * each..range.end * each)?;
        let mut weights = vec![0.0; stored.len()];
        let rows = stored.chunks_exact(each).zip(weights.chunks_exact_mut(each));
        for ((row, out), fold) in rows.zip(&folds) {
            for (input, window) in row.chunks_exact(pixels).enumerate() {
                for (pixel, value) in window.iter().enumerate() {
                    out[pixel * self.inputs + input] = (f64::from(*value) * fold.scale) as f32;
                }
            }
        }
        check_folded(&tensor, &weights)?;
        Ok(weights)
    }

    /// Biases of the outputs, with what the norm makes of them: `[outputs]`.
    ///
    /// Errors: as [`weights`](Self::weights).
    pub fn biases(&self, checkpoint: &Checkpoint) -> Result<Vec<f32>> {
        let Filter::Trained { weight, .. } = &self.filter else {
            return Ok(vec![0.0; self.outputs]);
        };
        let folds = self.folds(checkpoint, 0..self.outputs)?;
        let biases: Vec<_> = folds.iter().map(|fold| fold.shift as f32).collect();
        check_folded(&checkpoint.tensor(weight)?, &biases)?;
        Ok(biases)
    }

    /// Weights of one output.
    pub fn columns(&self) -> usize {
        self.kernel * self.kernel * self.inputs
    }

    /// Ones where an output copies an input.
    fn copied(&self, range: Range<usize>) -> Vec<f32> {
        let each = self.columns();
        let centre = (self.kernel * self.kernel / 2) * self.inputs;
        let before = self.outputs.saturating_sub(self.inputs) / 2;
        let mut weights = vec![0.0; range.len() * each];
        for (row, output) in weights.chunks_exact_mut(each).zip(range) {
            let input = output.checked_sub(before).filter(|input| *input < self.inputs);
            if let Some(input) = input {
                row[centre + input] = 1.0;
            }
        }
        weights
    }

    /// By output, what its norm and its bias come to.
    fn folds(&self, checkpoint: &Checkpoint, range: Range<usize>) -> Result<Vec<Fold>> {
        let Filter::Trained { bias, norm, .. } = &self.filter else { return Ok(vec![]) };
        let biases = match bias {
            Some(name) => checkpoint.tensor(name)?.slice(range.clone())?,
            None => vec![0.0; range.len()],
        };
        let Some(norm) = norm else {
            let plain = |bias: f32| Fold { scale: 1.0, shift: f64::from(bias) };
            return Ok(biases.into_iter().map(plain).collect());
        };
        let part = |end| checkpoint.tensor(&format!("{norm}.{end}"))?.slice(range.clone());
        let [gamma, beta, mean] = [part("weight")?, part("bias")?, part("running_mean")?];
        let variance =
            variances(&checkpoint.tensor(&format!("{norm}.running_var"))?, range.clone())?;
        let fold = |(index, bias): (usize, f32)| {
            let scale = f64::from(gamma[index]) / (variance[index] + NORM_EPS).sqrt();
            let moved = f64::from(bias) - f64::from(mean[index]);
            Fold { scale, shift: moved * scale + f64::from(beta[index]) }
        };
        Ok(biases.into_iter().enumerate().map(fold).collect())
    }
}

fn variances(tensor: &Tensor<'_>, range: Range<usize>) -> Result<Vec<f64>> {
    let values = tensor.slice(range.clone())?;
    match values.iter().zip(range).find(|(value, _)| **value < 0.0) {
        Some((value, index)) => {
            let found = format!("{value} at element {index}");
            Err(tensor.misfit("variances of 0 or more".into(), found))
        }
        None => Ok(values.into_iter().map(f64::from).collect()),
    }
}

/// Large weights over a tiny variance can pass what f32 holds.
fn check_folded(tensor: &Tensor<'_>, values: &[f32]) -> Result<(), Error> {
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => {
            let expected = "finite values with the norm folded in".into();
            Err(tensor.misfit(expected, "a value beyond F32".into()))
        }
    }
}
