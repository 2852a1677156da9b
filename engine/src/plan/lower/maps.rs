//! Steps over images: pixels, convolutions, pools of windows.
//!
//! Where a device reads channels in chunks, the first convolution reads blocks of pixels.

use offramp_kernels::{
    Activation, Conv2d, Fold, Grid, Op, Pixels, Pool2d, Span, WeightForm, Window,
};
use offramp_weights::ModelSpec;
use offramp_weights::image::Preprocessing;
use offramp_weights::network::{Conv, Step};

use super::{Lowering, Place, Shape, Value};
use crate::plan::weights::WeightSource;

/// The blocks that the first convolution reads in place of pixels, where channels do not come in
/// steps of `step`.
pub(super) fn stem_fold(spec: &ModelSpec, step: usize) -> Option<Fold> {
    let input = spec.image()?;
    let Some(Step::Conv(conv)) = spec.network.leaves().next() else { return None };
    if input.channels.is_multiple_of(step) {
        return None;
    }
    Fold::of(grid(input), input.channels, [conv.kernel, conv.stride, conv.padding], step)
}

fn grid(input: &Preprocessing) -> Grid {
    Grid { height: input.height, width: input.width }
}

/// How a convolution slides over a map, and where its filter comes from.
struct Sliding {
    kernel: usize,
    stride: usize,
    padding: usize,
    source: WeightSource,
}

impl Lowering<'_> {
    pub(super) fn pixels(&mut self, input: &Preprocessing) -> Value {
        let vector = WeightForm::Vector { len: input.channels };
        let mut op = Pixels {
            grid: grid(input),
            channels: input.channels,
            scale: self.weights.add(vector, WeightSource::Values(pixel_scale(input))),
            shift: self.weights.add(vector, WeightSource::Values(pixel_shift(input))),
            fold: self.fold,
            out: Span { at: 0, len: 0 },
        };
        let out = self.value(Shape::Map(op.to()), op.width());
        op.out = out.span;
        self.ops.push(Op::Pixels(op));
        out
    }

    pub(super) fn conv(&mut self, conv: &Conv, x: &Value, place: Place<'_>) -> Value {
        let source = WeightSource::Filter(conv.clone(), self.fold);
        let sliding = match self.fold.take() {
            Some(fold) => {
                Sliding { kernel: fold.kernel(conv.kernel), stride: 1, padding: 0, source }
            }
            None => {
                let Conv { kernel, stride, padding, .. } = *conv;
                Sliding { kernel, stride, padding, source }
            }
        };
        self.slide(conv, sliding, x, place)
    }

    /// The sum goes over what is added, unless that is `x` itself.
    fn slide(&mut self, conv: &Conv, by: Sliding, x: &Value, place: Place<'_>) -> Value {
        let Shape::Map(from) = x.shape else { return x.clone() };
        let to = Shape::Map(from.windows(by.kernel, by.stride, by.padding));
        let added = place.added();
        let out = match added.filter(|added| added.span != x.span) {
            Some(added) => added.clone(),
            None => self.value(to, conv.outputs),
        };
        let matrix = WeightForm::Matrix { n: conv.outputs, k: by.kernel * by.kernel * x.width };
        let vector = WeightForm::Vector { len: conv.outputs };
        let op = Conv2d {
            x: x.span,
            from,
            inputs: x.width,
            weight: self.weights.add(matrix, by.source),
            bias: self.weights.add(vector, WeightSource::FilterBias(conv.clone())),
            kernel: by.kernel,
            stride: by.stride,
            padding: by.padding,
            residual: added.map(|added| added.span),
            activation: if conv.relu || place.relu { Activation::Relu } else { Activation::None },
            out: out.span,
            outputs: conv.outputs,
        };
        self.ops.push(Op::Conv2d(op));
        out
    }

    pub(super) fn pool(&mut self, x: &Value, window: Window) -> Value {
        let Shape::Map(from) = x.shape else { return x.clone() };
        let mut op = Pool2d { x: x.span, from, width: x.width, window, out: x.span };
        let out = self.value(Shape::Map(op.to()), x.width);
        op.out = out.span;
        self.ops.push(Op::Pool2d(op));
        out
    }
}

/// `(pixel / 255 - mean) / std` as one multiply-add.
fn pixel_scale(input: &Preprocessing) -> Vec<f32> {
    input.std.iter().map(|std| 1.0 / (255.0 * std)).collect()
}

fn pixel_shift(input: &Preprocessing) -> Vec<f32> {
    input.mean.iter().zip(&input.std).map(|(mean, std)| -mean / std).collect()
}
