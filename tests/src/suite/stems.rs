//! First convolutions over blocks of pixels give what they give over pixels.

use offramp_kernels::{
    Activation, Conv2d, Fold, Grid, LiveBound, Pixels, Span, WeightForm, WeightId,
};

use super::images::begin;
use super::stage::uneven;
use super::{Stage, Start, Suite};
use crate::reference::{self, Convolution};

/// A convolution over images of bytes.
#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    image: Grid,
    channels: usize,
    outputs: usize,
    /// Kernel, stride, padding.
    window: [usize; 3],
    /// Channels of a block are a multiple of it.
    step: usize,
}

/// A case as it was declared.
struct Declared {
    fold: Fold,
    /// Over pixels: `[outputs, kernel, kernel, channels]`.
    filter: Vec<f32>,
    /// Of the filter over blocks, and its bias.
    weights: [WeightId; 2],
    /// Scale and shift of pixels.
    pixels: [WeightId; 2],
    blocks: Span,
    out: Span,
}

impl Case {
    fn to(&self) -> Grid {
        let [kernel, stride, padding] = self.window;
        self.image.windows(kernel, stride, padding)
    }

    /// Bytes of an image.
    fn bytes(&self) -> usize {
        self.image.pixels() * self.channels
    }

    fn declare(&self, start: &mut Start) -> Declared {
        let fold = Fold::of(self.image, self.channels, self.window, self.step);
        let fold = fold.unwrap_or_else(|| panic!("{self:?} does not fold"));
        let (kernel, channels) = (self.window[0], self.channels);
        let k = kernel * kernel * channels;
        let scale = (k as f32).sqrt().log2().round().exp2().recip();
        let filter = uneven(&mut start.random, self.outputs * k);
        let filter: Vec<f32> = filter.into_iter().map(|value| value * scale).collect();
        let folded = filter.chunks_exact(k).flat_map(|own| fold.filter(kernel, channels, own));
        let folded: Vec<f32> = folded.collect();
        let form = WeightForm::Matrix { n: self.outputs, k: folded.len() / self.outputs };
        let weights = [start.weight(form, folded), start.vector(self.outputs)];
        let vector = WeightForm::Vector { len: channels };
        // Pixels become whole 128ths, which f16 holds exactly.
        let scales = (0..channels).map(|at| if at % 2 == 0 { 1.0 } else { -1.0 } / 128.0);
        let shifts = (0..channels).map(|at| 0.25 * at as f32 - 0.75);
        let (scales, shifts) = (scales.collect(), shifts.collect());
        let pixels = [start.weight(vector, scales), start.weight(vector, shifts)];
        let blocks = start.span(fold.to.pixels() * fold.width);
        let out = start.span(self.to().pixels() * self.outputs);
        Declared { fold, filter, weights, pixels, blocks, out }
    }

    fn check(&self, suite: &Suite) {
        let mut start = Start::new(&vec![1; self.images]);
        start.layout.row_pixels = self.bytes();
        let declared = self.declare(&mut start);
        let Declared { fold, blocks, out, .. } = declared;
        let (wide, size) = (fold.to.pixels() * fold.width, self.to().pixels() * self.outputs);
        let mut stage = start.device(suite);
        let images: Vec<u8> =
            (0..self.images * self.bytes()).map(|_| stage.random.u8(..)).collect();
        begin(&mut stage, &images, self.images);
        stage.poison(blocks, wide);
        stage.poison(out, size);
        stage.issue(self.pixels(&declared));
        let x = self.vectors(&stage, &declared, &images);
        let what = format!("{self:?}");
        suite.tolerance.check(&what, &stage.output(blocks, wide), &self.blocks(fold, &x));
        stage.issue(self.conv(&declared));
        let expected = self.expected(&stage, &declared, &x);
        suite.tolerance.check(&what, &stage.output(out, size), &expected);
    }

    fn pixels(&self, declared: &Declared) -> Pixels {
        let Declared { fold, blocks, pixels: [scale, shift], .. } = *declared;
        let (grid, channels) = (self.image, self.channels);
        Pixels { grid, channels, scale, shift, fold: Some(fold), out: blocks }
    }

    fn conv(&self, declared: &Declared) -> Conv2d {
        let Declared { fold, weights: [weight, bias], blocks, out, .. } = *declared;
        Conv2d {
            x: blocks,
            from: fold.to,
            inputs: fold.width,
            weight,
            bias,
            kernel: fold.kernel(self.window[0]),
            stride: 1,
            padding: 0,
            residual: None,
            activation: Activation::Relu,
            out,
            outputs: self.outputs,
        }
    }

    /// The images as numbers.
    fn vectors(&self, stage: &Stage, declared: &Declared, images: &[u8]) -> Vec<f32> {
        let [scale, shift] = declared.pixels.map(|weight| stage.weight(weight));
        let value = |(at, &byte): (usize, &u8)| {
            let channel = at % self.channels;
            f32::from(byte) * scale[channel] + shift[channel]
        };
        images.iter().enumerate().map(value).collect()
    }

    /// The blocks of all images, element by element as the contract has it.
    fn blocks(&self, fold: Fold, x: &[f32]) -> Vec<f64> {
        let Fold { side, padding, to, width } = fold;
        let element = |image: &[f32], block: usize, at: usize| {
            let (dy, dx) = (at / self.channels / side, at / self.channels % side);
            let y = (block / to.width * side + dy).checked_sub(padding)?;
            let x = (block % to.width * side + dx).checked_sub(padding)?;
            let inside = dy < side && y < self.image.height && x < self.image.width;
            inside.then(|| image[(y * self.image.width + x) * self.channels + at % self.channels])
        };
        let mut blocks = Vec::new();
        for image in x.chunks_exact(self.bytes()) {
            let all = (0..to.pixels()).flat_map(|block| (0..width).map(move |at| (block, at)));
            blocks.extend(all.map(|(block, at)| element(image, block, at).map_or(0.0, f64::from)));
        }
        blocks
    }

    /// The convolution over pixels.
    fn expected(&self, stage: &Stage, declared: &Declared, x: &[f32]) -> Vec<f64> {
        let [kernel, stride, padding] = self.window;
        let (from, to, inputs) = (self.image, self.to(), self.channels);
        let shape = Convolution { from, to, inputs, kernel, stride, padding };
        let bias = stage.weight(declared.weights[1]);
        let images = x.chunks_exact(self.bytes());
        let sums = images.flat_map(|x| reference::conv2d(shape, x, &declared.filter, bias));
        sums.map(|sum| sum.max(0.0)).collect()
    }
}

/// The stems of networks that are read: 7x7 with stride 2, 3x3; grey and coloured, odd sides.
pub fn known(suite: &Suite) {
    let grid = |height, width| Grid { height, width };
    for (image, channels, window) in [
        (grid(32, 32), 3, [7, 2, 3]),
        (grid(15, 18), 3, [7, 2, 3]),
        (grid(17, 9), 1, [7, 2, 3]),
        (grid(13, 12), 3, [3, 2, 1]),
        (grid(8, 9), 3, [3, 1, 1]),
        (grid(11, 10), 1, [3, 1, 1]),
        (grid(9, 13), 3, [4, 4, 0]),
    ] {
        let case = Case { images: 2, image, channels, outputs: 24, window, step: 8 };
        case.check(suite);
        Case { outputs: 5, step: 1, ..case }.check(suite);
    }
    // Outputs for a large tile, and more of them than one holds.
    let image = grid(16, 16);
    Case { images: 3, image, channels: 3, outputs: 136, window: [7, 2, 3], step: 8 }.check(suite);
}

/// Random windows over images of random sizes.
pub fn random(suite: &Suite) {
    let mut random = fastrand::Rng::with_seed(0x57e3);
    for _ in 0..24 {
        let kernel = random.usize(1..8);
        let window = [kernel, random.usize(1..4).min(kernel), random.usize(0..kernel)];
        let image = Grid { height: random.usize(7..14), width: random.usize(7..14) };
        let (images, channels) = (random.usize(1..4), random.usize(1..4));
        let (outputs, step) = (random.usize(1..72), [1, 4, 8, 16][random.usize(0..4)]);
        Case { images, image, channels, outputs, window, step }.check(suite);
    }
}

/// Blocks without room for their pixels, and maps that are too long.
pub fn malformed(suite: &Suite) {
    let image = Grid { height: 6, width: 6 };
    let case = Case { images: 1, image, channels: 3, outputs: 8, window: [3, 2, 1], step: 8 };
    let mut start = Start::new(&[1]);
    start.layout.row_pixels = case.bytes();
    let declared = case.declare(&mut start);
    let mut stage = start.device(suite);
    begin(&mut stage, &vec![0; case.bytes()], 1);
    let (good, fold) = (case.pixels(&declared), declared.fold);
    let large = Grid { height: fold.to.height, width: 900 };
    for bad in [Fold { width: 11, ..fold }, Fold { side: 0, ..fold }, Fold { to: large, ..fold }] {
        let op = Pixels { fold: Some(bad), ..good.clone() };
        let bound = LiveBound { rows: 1, tokens: 1 };
        stage.device.issue(&op.into(), bound).expect_err("a malformed op");
    }
    stage.issue(good);
}
