//! An image spec run step by step in double precision, as its documentation reads.

use offramp_weights::image::ChannelOrder;
use offramp_weights::network::{Conv, Residual, Step};
use offramp_weights::{Checkpoint, ModelSpec};

/// What a network gives for one picture.
pub(crate) struct Found {
    pub(crate) logits: Vec<f64>,
    /// Means over the map behind each segment.
    pub(crate) sites: Vec<Vec<f64>>,
}

/// A map of `height` x `width` pixels of `channels`.
#[derive(Clone)]
struct Map {
    height: usize,
    width: usize,
    channels: usize,
    values: Vec<f64>,
}

/// Runs the picture `pixels`, `[height, width, channels]` with red first.
pub(crate) fn forward(spec: &ModelSpec, checkpoint: &Checkpoint, pixels: &[u8]) -> Found {
    let mut map = Map::of_picture(spec, pixels);
    let mut sites = Vec::new();
    for segment in &spec.network.segments {
        map = segment.steps.iter().fold(map, |map, step| map.step(step, checkpoint));
        sites.push(map.mean());
    }
    let features =
        spec.network.tail.iter().fold(map, |map, step| map.step(step, checkpoint)).mean();
    let values = |name: &str| checkpoint.tensor(name).unwrap().to_vec().unwrap();
    let classifier = spec.network.head.classifier.as_ref().unwrap();
    let weights = values(&classifier.weights[0]);
    let biases = values(&classifier.biases[0]);
    let logit = |(row, bias): (&[f32], &f32)| {
        let dot: f64 = row.iter().zip(&features).map(|(w, x)| f64::from(*w) * x).sum();
        dot + f64::from(*bias)
    };
    let logits = weights.chunks(classifier.inputs).zip(&biases).map(logit).collect();
    Found { logits, sites }
}

impl Map {
    fn of_picture(spec: &ModelSpec, pixels: &[u8]) -> Self {
        let about = spec.image().unwrap();
        let (height, width, channels) = (about.height, about.width, about.channels);
        let turned = about.order == ChannelOrder::Bgr;
        let value = |index: usize| {
            let channel = index % channels;
            let from = if turned { channels - 1 - channel } else { channel };
            let pixel = f64::from(pixels[index - channel + from]) / 255.0;
            (pixel - f64::from(about.mean[channel])) / f64::from(about.std[channel])
        };
        let values = (0..height * width * channels).map(value).collect();
        Self { height, width, channels, values }
    }

    fn at(&self, y: usize, x: usize, channel: usize) -> f64 {
        self.values[(y * self.width + x) * self.channels + channel]
    }

    fn mean(&self) -> Vec<f64> {
        let pixels = self.height * self.width;
        let sum = |c| self.values.iter().skip(c).step_by(self.channels).sum::<f64>();
        (0..self.channels).map(|c| sum(c) / pixels as f64).collect()
    }

    fn step(self, step: &Step, checkpoint: &Checkpoint) -> Self {
        match step {
            Step::Conv(conv) => self.conv(conv, checkpoint),
            Step::MaxPool { kernel, stride, padding } => {
                let side = |n: usize| (n + 2 * padding - kernel) / stride + 1;
                let range = |at: usize, n: usize| {
                    let start = (at * stride) as isize - *padding as isize;
                    let end = (start + *kernel as isize).min(n as isize);
                    start.max(0) as usize..end as usize
                };
                let (height, width) = (side(self.height), side(self.width));
                self.windows(height, width, range, |found| {
                    found.iter().copied().fold(f64::NEG_INFINITY, f64::max)
                })
            }
            Step::MeanTo { side } => {
                let range = |at: usize, n: usize| at * n / side..((at + 1) * n).div_ceil(*side);
                let mean = |found: &[f64]| found.iter().sum::<f64>() / found.len() as f64;
                self.windows(*side, *side, range, mean)
            }
            Step::Residual(Residual { body, shortcut, relu: true }) => {
                let around = shortcut.as_ref().map(|step| self.clone().step(step, checkpoint));
                let mut out =
                    body.iter().fold(self.clone(), |map, step| map.step(step, checkpoint));
                let around = around.as_ref().unwrap_or(&self);
                assert_eq!((out.height, out.width), (around.height, around.width));
                for (value, other) in out.values.iter_mut().zip(&around.values) {
                    *value = (*value + other).max(0.0);
                }
                out
            }
            other => panic!("no step over images: {other:?}"),
        }
    }

    /// One value per channel of each window of pixels.
    fn windows(
        &self,
        height: usize,
        width: usize,
        range: impl Fn(usize, usize) -> std::ops::Range<usize>,
        of: impl Fn(&[f64]) -> f64,
    ) -> Self {
        let mut values = Vec::new();
        for (y, x) in (0..height * width).map(|at| (at / width, at % width)) {
            for c in 0..self.channels {
                let rows = range(y, self.height);
                let pixels = rows.flat_map(|y| range(x, self.width).map(move |x| (y, x)));
                values.push(of(&pixels.map(|(y, x)| self.at(y, x, c)).collect::<Vec<_>>()));
            }
        }
        Self { height, width, channels: self.channels, values }
    }

    fn conv(&self, conv: &Conv, checkpoint: &Checkpoint) -> Self {
        assert_eq!(self.channels, conv.inputs);
        let (height, width) = conv.map((self.height, self.width)).unwrap();
        let weights = conv.weights(checkpoint, 0..conv.outputs).unwrap();
        let biases = conv.biases(checkpoint).unwrap();
        let mut values = Vec::with_capacity(height * width * conv.outputs);
        for (y, x) in (0..height * width).map(|at| (at / width, at % width)) {
            for (row, bias) in weights.chunks(conv.columns()).zip(&biases) {
                let value = f64::from(*bias) + self.window(conv, row, y, x);
                values.push(if conv.relu { value.max(0.0) } else { value });
            }
        }
        Self { height, width, channels: conv.outputs, values }
    }

    /// The products of one window with `row`, `[ky, kx, input]`.
    fn window(&self, conv: &Conv, row: &[f32], y: usize, x: usize) -> f64 {
        let mut sum = 0.0;
        for (at, weights) in row.chunks(conv.inputs).enumerate() {
            let (y, x) = (y * conv.stride + at / conv.kernel, x * conv.stride + at % conv.kernel);
            let place = (y.checked_sub(conv.padding), x.checked_sub(conv.padding));
            let (Some(y), Some(x)) = place else { continue };
            if y < self.height && x < self.width {
                let inputs = weights.iter().enumerate();
                sum += inputs.map(|(c, w)| f64::from(*w) * self.at(y, x, c)).sum::<f64>();
            }
        }
        sum
    }
}
