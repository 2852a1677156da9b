//! An image spec run step by step in double precision, as its documentation reads.

use offramp_weights::image::ChannelOrder;
use offramp_weights::network::{Attention, Conv, Linear, Norm, Patches, Residual, Step};
use offramp_weights::{Activation, Checkpoint, ModelSpec, Pool};

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
    let last = spec.network.tail.iter().fold(map, |map, step| map.step(step, checkpoint));
    let features = match spec.network.head.pool {
        Pool::First => last.values[..last.channels].to_vec(),
        Pool::Mean => last.mean(),
        Pool::Last => panic!("no pool over images"),
    };
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
            Step::Linear(linear) => self.linear(linear, checkpoint),
            Step::Norm(norm) => self.norm(norm, checkpoint),
            Step::Attention(attention) => self.attention(*attention),
            Step::Patches(patches) => self.patches(patches, checkpoint),
            Step::Residual(Residual { body, shortcut, relu }) => {
                let around = shortcut.as_ref().map(|step| self.clone().step(step, checkpoint));
                let mut out =
                    body.iter().fold(self.clone(), |map, step| map.step(step, checkpoint));
                let around = around.as_ref().unwrap_or(&self);
                assert_eq!((out.height, out.width), (around.height, around.width));
                for (value, other) in out.values.iter_mut().zip(&around.values) {
                    *value = if *relu { (*value + other).max(0.0) } else { *value + other };
                }
                out
            }
            Step::Embed(embed) => panic!("no step over images: {embed:?}"),
        }
    }

    /// Tokens, one below the other, each turned into `width` values.
    fn tokens(&self, width: usize, make: impl Fn(&[f64]) -> Vec<f64>) -> Self {
        let values = self.values.chunks(self.channels).flat_map(make).collect();
        Self { height: self.height, width: self.width, channels: width, values }
    }

    fn linear(&self, linear: &Linear, checkpoint: &Checkpoint) -> Self {
        let read = |names: &[String]| read(names, checkpoint);
        let (weights, biases) = (read(&linear.weights), read(&linear.biases));
        let activate = |x: f64| match linear.activation {
            None => x,
            Some(Activation::GeluErf) => x * 0.5 * (1.0 + erf(x / 2.0_f64.sqrt())),
            Some(Activation::GeluTanh) => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
                x * 0.5 * (1.0 + inner.tanh())
            }
            Some(other) => panic!("{other:?}"),
        };
        self.tokens(linear.outputs, |x| {
            let rows = weights.chunks(linear.inputs).enumerate();
            let sum = |(row, w): (usize, &[f64])| {
                let bias = biases.get(row).copied().unwrap_or(0.0);
                activate(bias + w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
            };
            rows.map(sum).collect()
        })
    }

    fn norm(&self, norm: &Norm, checkpoint: &Checkpoint) -> Self {
        let vector = |name: &String| read(std::slice::from_ref(name), checkpoint);
        let (scale, shift) = (vector(&norm.scale), vector(&norm.shift));
        self.tokens(norm.width, |x| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let deviation = (variance + f64::from(norm.eps)).sqrt();
            let values = x.iter().zip(scale.iter().zip(&shift));
            values.map(|(x, (scale, shift))| (x - mean) / deviation * scale + shift).collect()
        })
    }

    fn attention(&self, Attention { heads, width }: Attention) -> Self {
        let (each, row) = (width / heads, 3 * width);
        self.tokens(width, |x| {
            let of = |head: usize| {
                let part = |token: &[f64], which: usize| {
                    token[which * width + head * each..][..each].to_vec()
                };
                let query = part(x, 0);
                let tokens: Vec<&[f64]> = self.values.chunks(row).collect();
                let score = |token: &&[f64]| {
                    let dot: f64 = part(token, 1).iter().zip(&query).map(|(k, q)| k * q).sum();
                    (dot / (each as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = tokens.iter().map(score).collect();
                let sum: f64 = scores.iter().sum();
                let mut out = vec![0.0; each];
                for (token, score) in tokens.iter().zip(&scores) {
                    let values = part(token, 2);
                    out.iter_mut().zip(values).for_each(|(out, v)| *out += v * score / sum);
                }
                out
            };
            (0..heads).flat_map(of).collect()
        })
    }

    /// From now on a column of tokens.
    fn patches(&self, patches: &Patches, checkpoint: &Checkpoint) -> Self {
        let mut values = read(&patches.first, checkpoint);
        values.extend(&self.values);
        let position = read(std::slice::from_ref(&patches.position), checkpoint);
        values.iter_mut().zip(position).for_each(|(value, place)| *value += place);
        Self { height: patches.tokens, width: 1, channels: patches.width, values }
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

/// Tensors one behind the other.
fn read(names: &[String], checkpoint: &Checkpoint) -> Vec<f64> {
    let values = |name: &String| checkpoint.tensor(name).unwrap().to_vec().unwrap();
    names.iter().flat_map(values).map(f64::from).collect()
}

/// The error function by its series, which is exact enough below 6.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
