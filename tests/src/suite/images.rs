//! Ops over images: pixels, convolutions, pools, and exits between them.

use offramp_kernels::{
    Activation, Admission, Compact, Conv2d, Decision, ExitId, Grid, LiveBound, Pixels, Pool,
    Pool2d, Ramp, RampHead, RowInput, RowSlot, RowTokens, Score, Span, WeightId, Window,
};

use super::{Stage, Start, Suite};
use crate::reference::{self, Convolution};

/// For a plan of images: a device may need room for them that texts do not.
fn start(images: usize) -> Start {
    let mut start = Start::new(&vec![1; images]);
    start.layout.row_pixels = 16;
    start
}

const fn grid(height: usize, width: usize) -> Grid {
    Grid { height, width }
}

/// Where the residual lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Residual {
    None,
    Apart,
    IsOut,
}

/// A convolution of some images. An image is declared as one token as wide as all its pixels.
#[derive(Clone, Copy, Debug)]
struct Case {
    images: usize,
    from: Grid,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    residual: Residual,
    activation: Activation,
}

impl Case {
    fn new(from: Grid, (inputs, outputs): (usize, usize), window: [usize; 3]) -> Self {
        let [kernel, stride, padding] = window;
        let (residual, activation) = (Residual::None, Activation::None);
        Self { images: 2, from, inputs, outputs, kernel, stride, padding, residual, activation }
    }

    fn to(&self) -> Grid {
        self.from.windows(self.kernel, self.stride, self.padding)
    }

    fn k(&self) -> usize {
        self.kernel * self.kernel * self.inputs
    }

    fn op(&self, x: Span, weights: [WeightId; 2], residual: Option<Span>, out: Span) -> Conv2d {
        let Self { from, inputs, outputs, kernel, stride, padding, activation, .. } = *self;
        let [weight, bias] = weights;
        Conv2d {
            x,
            from,
            inputs,
            weight,
            bias,
            kernel,
            stride,
            padding,
            residual,
            activation,
            out,
            outputs,
        }
    }

    /// What it must give for images `x` and residuals `added`, in f64.
    fn expected(
        &self,
        stage: &Stage,
        x: &[f32],
        weights: [WeightId; 2],
        added: &[f32],
    ) -> Vec<f64> {
        let Self { from, inputs, kernel, stride, padding, .. } = *self;
        let [weight, bias] = weights.map(|id| stage.weight(id));
        let shape = Convolution { from, to: self.to(), inputs, kernel, stride, padding };
        let image = from.pixels() * inputs;
        let sums = x.chunks_exact(image).flat_map(|x| reference::conv2d(shape, x, weight, bias));
        let finish = |(sum, &added)| reference::activate(self.activation, sum + f64::from(added));
        sums.zip(added).map(finish).collect()
    }

    fn check(&self, suite: &Suite) {
        let mut start = start(self.images);
        let weights = [start.matrix(self.outputs, self.k()), start.vector(self.outputs)];
        let (wide, size) = (self.from.pixels() * self.inputs, self.to().pixels() * self.outputs);
        let (x, out, apart) = (start.span(wide), start.span(size), start.span(size));
        let mut stage = start.begin(suite);
        stage.poison(out, size);
        let values = stage.fill(x, wide);
        let residual = match self.residual {
            Residual::None => None,
            Residual::Apart => Some(apart),
            Residual::IsOut => Some(out),
        };
        let added = match residual {
            Some(span) => stage.fill(span, size),
            None => vec![0.0; self.images * size],
        };
        stage.issue(self.op(x, weights, residual, out));
        let expected = self.expected(&stage, &values, weights, &added);
        suite.tolerance.check(&format!("{self:?}"), &stage.output(out, size), &expected);
    }
}

/// Windows, strides, paddings and channels of every kind, broken tiles in every direction.
pub fn sizes(suite: &Suite) {
    let windows = [[1, 1, 0], [1, 2, 0], [3, 1, 1], [3, 2, 1], [3, 1, 0], [7, 2, 3], [2, 2, 0]];
    let channels = [(1, 16), (3, 8), (8, 33), (16, 16), (17, 5), (64, 32)];
    let grids = [grid(7, 7), grid(8, 9), grid(14, 5)];
    for (index, window) in windows.into_iter().enumerate() {
        for (at, channels) in channels.into_iter().enumerate() {
            let case = Case::new(grids[(index + at) % grids.len()], channels, window);
            Case { images: 1 + (index + at) % 3, ..case }.check(suite);
        }
    }
    Case::new(grid(1, 1), (8, 8), [3, 1, 1]).check(suite);
    Case::new(grid(2, 40), (8, 24), [3, 1, 1]).check(suite);
    Case::new(grid(4, 4), (24, 40), [4, 1, 0]).check(suite);
}

/// Lines longer than a tile's block, and more inputs than fit one slice.
pub fn large(suite: &Suite) {
    Case { images: 1, ..Case::new(grid(3, 150), (8, 8), [3, 1, 1]) }.check(suite);
    Case { images: 3, ..Case::new(grid(7, 7), (128, 64), [3, 1, 1]) }.check(suite);
    Case { images: 1, ..Case::new(grid(14, 14), (64, 128), [3, 2, 1]) }.check(suite);
}

/// The residual apart and in the output's place, before the activation.
pub fn residuals(suite: &Suite) {
    for residual in [Residual::Apart, Residual::IsOut] {
        for activation in [Activation::None, Activation::Relu] {
            for channels in [(16, 16), (8, 40), (5, 7)] {
                for window in [[1, 1, 0], [3, 1, 1]] {
                    let case = Case::new(grid(6, 5), channels, window);
                    Case { residual, activation, ..case }.check(suite);
                }
            }
        }
    }
}

/// Rows leave between convolutions: the others are right, and ramps see whole images.
pub fn after_exits(suite: &Suite) {
    let first = Case { images: 5, ..Case::new(grid(6, 6), (8, 16), [3, 2, 1]) };
    let second =
        Case { images: 5, residual: Residual::Apart, ..Case::new(first.to(), (16, 16), [3, 1, 1]) };
    let stays = [1, 2, 4];
    let mut start = start(5);
    let weights = [start.matrix(16, first.k()), start.vector(16)];
    let more = [start.matrix(16, second.k()), start.vector(16)];
    let head = [start.matrix(2, 16), start.vector(2)];
    let (wide, size) = (first.from.pixels() * 8, first.to().pixels() * 16);
    let (x, middle, out) = (start.span(wide), start.span(size), start.span(size));
    let mut stage = start.device(suite);
    stage.begin(Score::Margin, &[0.0, 0.0, 0.0, 0.0], &stays);
    let values = stage.fill(x, wide);
    stage.issue(first.op(x, weights, None, middle));
    let expected = first.expected(&stage, &values, weights, &vec![0.0; 5 * size]);
    watch(suite, &mut stage, middle, &expected, head);
    let tokens = RowTokens::Each(first.to().pixels());
    stage.issue(Compact { x: middle, tokens, width: 16 });
    let kept: Vec<f64> =
        stays.iter().flat_map(|&row| expected[row * size..][..size].to_vec()).collect();
    let found = stage.read(middle, kept.len());
    suite.tolerance.check("rows kept", &found, &kept);
    stage.issue(second.op(middle, more, Some(middle), out));
    let expected = second.expected(&stage, &found, more, &found);
    let found = stage.read(out, expected.len());
    suite.tolerance.check("after rows have left", &found, &expected);
}

/// A ramp hears all rows: the mean of their pixels through a head.
fn watch(suite: &Suite, stage: &mut Stage, x: Span, images: &[f64], [weight, bias]: [WeightId; 2]) {
    const ROWS: usize = 5;
    let pixels = images.len() / ROWS / 16;
    let (exit, tokens) = (ExitId(0), RowTokens::Each(pixels));
    let head = Some(RampHead { weight, bias, classes: 2, decision: Decision::Class });
    let (pool, hidden) = (Pool::Mean, None);
    stage.issue(Ramp { exit, x, tokens, width: 16, norm: None, pool, hidden, head });
    assert_eq!(stage.exits().len(), ROWS);
    let means = reference::pool(images, &[pixels; ROWS], 16, Pool::Mean);
    let (weight, bias) = (stage.weight(weight), stage.weight(bias));
    let expected = reference::linear(&means, weight, bias, 16, Activation::None);
    for (slot, expected) in expected.chunks_exact(2).enumerate() {
        let found = stage.device.logits(exit, RowSlot(slot as u32)).to_vec();
        suite.tolerance.check("logits of an image", &found, expected);
    }
}

/// The largest and the mean of windows, at the borders too.
pub fn pools(suite: &Suite) {
    let max = |kernel, stride, padding| Window::Max { kernel, stride, padding };
    let cases = [
        (grid(8, 6), max(2, 2, 0)),
        (grid(9, 7), max(3, 2, 1)),
        (grid(5, 5), max(3, 1, 1)),
        (grid(7, 5), max(2, 2, 0)),
        (grid(9, 7), Window::MeanTo(grid(7, 7))),
        (grid(3, 2), Window::MeanTo(grid(7, 7))),
        (grid(14, 14), Window::MeanTo(grid(7, 7))),
        (grid(6, 5), Window::MeanTo(grid(1, 1))),
    ];
    for (from, window) in cases {
        for width in [1, 8, 20] {
            pool(suite, from, window, width);
        }
    }
}

fn pool(suite: &Suite, from: Grid, window: Window, width: usize) {
    let mut start = start(2);
    let wide = from.pixels() * width;
    let x = start.span(wide);
    let mut op = Pool2d { x, from, width, window, out: x };
    let (to, size) = (op.to(), op.to().pixels() * width);
    op.out = start.span(size);
    let out = op.out;
    let mut stage = start.begin(suite);
    stage.poison(out, size);
    let values = stage.fill(x, wide);
    stage.issue(op);
    let images = values.chunks_exact(wide);
    let expected: Vec<f64> =
        images.flat_map(|x| reference::pool2d(from, to, window, width, x)).collect();
    let what = format!("{from} {window:?} x {width}");
    suite.tolerance.check(&what, &stage.output(out, size), &expected);
}

/// A maximum with a NaN among its pixels is NaN.
pub fn pool_nan(suite: &Suite) {
    let mut start = start(1);
    let (x, out) = (start.span(4 * 8), start.span(8));
    let mut stage = start.begin(suite);
    stage.fill(x, 4 * 8);
    let mut values = stage.read(x, 32);
    values[9] = f32::NAN;
    values[2] = f32::NAN;
    stage.write(x, &values);
    let window = Window::Max { kernel: 2, stride: 2, padding: 0 };
    stage.issue(Pool2d { x, from: grid(2, 2), width: 8, window, out });
    let found = stage.output(out, 8);
    let nan: Vec<usize> = (0..8).filter(|&i| found[i].is_nan()).collect();
    assert_eq!(nan, [1, 2]);
}

/// Bytes become numbers by each channel's scale and shift.
pub fn pixels(suite: &Suite) {
    for (size, channels) in [(grid(5, 3), 1), (grid(4, 4), 3), (grid(9, 9), 3)] {
        let mut start = start(3);
        let bytes = size.pixels() * channels;
        start.layout.row_pixels = bytes;
        let values = |start: &mut Start, unit: f32| -> Vec<f32> {
            (0..channels).map(|_| start.random.i32(-60..60) as f32 * unit).collect()
        };
        let form = offramp_kernels::WeightForm::Vector { len: channels };
        let scales = values(&mut start, 1.0 / 4096.0);
        let shifts = values(&mut start, 1.0 / 64.0);
        let (scale, shift) = (start.weight(form, scales), start.weight(form, shifts));
        let out = start.span(bytes);
        let mut stage = start.device(suite);
        let images: Vec<u8> = (0..3 * bytes).map(|_| stage.random.u8(..)).collect();
        begin(&mut stage, &images, 3);
        stage.poison(out, bytes);
        stage.issue(Pixels { grid: size, channels, scale, shift, fold: None, out });
        let (scales, shifts) = (stage.weight(scale), stage.weight(shift));
        let expected = images.iter().enumerate().map(|(i, &byte)| {
            let channel = i % channels;
            f64::from(byte) * f64::from(scales[channel]) + f64::from(shifts[channel])
        });
        let expected: Vec<f64> = expected.collect();
        suite.tolerance.check("pixels", &stage.output(out, bytes), &expected);
    }
}

/// Starts a pass over images.
pub(super) fn begin(stage: &mut Stage, images: &[u8], rows: usize) {
    let begun = stage.begin_rows(RowInput::Images(images), rows);
    begun.unwrap_or_else(|error| panic!("begin: {error}"));
}

/// Passes and operands that contradict what was reserved are refused.
pub fn malformed(suite: &Suite) {
    let case = Case::new(grid(4, 4), (8, 8), [3, 1, 1]);
    let mut start = start(2);
    let weights = [start.matrix(8, case.k()), start.vector(8)];
    let (x, out) = (start.span(4 * 4 * 8), start.span(4 * 4 * 8));
    let mut stage = start.begin(suite);
    let refused = |stage: &mut Stage, op: Conv2d| {
        let bound = LiveBound { rows: 2, tokens: 2 };
        stage.device.issue(&op.into(), bound).expect_err("a malformed op")
    };
    let good = case.op(x, weights, None, out);
    let short = Span { len: 4 * 4 * 8, ..out };
    for bad in [
        Conv2d { out: x, ..good.clone() },
        Conv2d { out: short, ..good.clone() },
        Conv2d { x: short, ..good.clone() },
        Conv2d { residual: Some(short), ..good.clone() },
        Conv2d { kernel: 9, padding: 0, ..good.clone() },
        Conv2d { stride: 0, ..good.clone() },
        Conv2d { inputs: 7, ..good.clone() },
        Conv2d { from: grid(4, 900), ..good.clone() },
        Conv2d { residual: Some(Span { at: out.at + 1, ..out }), ..good.clone() },
    ] {
        refused(&mut stage, bad);
    }
    let thresholds = [2.0; 4];
    let pass = Admission {
        input: RowInput::Images(&[0; 31]),
        stays: &[true; 2],
        windows: &[],
        score: Score::Confidence,
        thresholds: &thresholds,
    };
    assert!(stage.device.begin(&pass).is_err(), "31 bytes for two images of 16");
}
