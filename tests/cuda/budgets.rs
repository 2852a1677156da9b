//! What kernels cost, counted: a table that changes only when a kernel does.
//!
//! Sectors are 32 bytes. `least` is what the op must touch once: operands, weights and output.
//! After a change for the better, review and accept the new table (`INSTA_UPDATE=always`).

use std::fmt::Write as _;

use offramp_kernels::cuda::Elem;
use offramp_kernels::{
    Activation, Attention, Compact, Conv2d, Decision, Embed, ExitId, Fold, Grid, Hidden, Linear,
    LinearNorms, MomentsId, Narrow, Norm, NormWeights, Normalised, Op, Pixels, Pool, Pool2d, Ramp,
    RampHead, RowTokens, Span, Standardised, WeightId, Window,
};
use offramp_tests::suite::linear::product as product_of;
use offramp_tests::suite::{Make, Start};

use crate::case::{Case, Counts};
use crate::{alone, bounds, machine};

const F16: Make = || machine::device(Elem::F16);

fn table(measured: &[(&Case, Counts)]) -> String {
    let columns = "op | kernel | instructions | per mma | sectors loaded | least | stored | least";
    let mut text = format!("{columns} | conflicts\n");
    for (case, counts) in measured {
        let (_, reads, writes) = (case.declare)(&mut case.start());
        assert_eq!(counts.launches, 1, "{}", case.name);
        let per_mma = match counts.tensor_ops {
            0 => "-".to_owned(),
            ops => format!("{:.2}", counts.instructions as f64 / ops as f64),
        };
        writeln!(
            text,
            "{} | {} | {} | {per_mma} | {} | {} | {} | {} | {}",
            case.name,
            counts.kernel,
            counts.instructions,
            counts.global_load_sectors,
            reads.div_ceil(32),
            counts.global_store_sectors,
            writes.div_ceil(32),
            counts.shared_bank_conflicts,
        )
        .unwrap();
    }
    text
}

pub(crate) fn linear(
    start: &mut Start,
    k: usize,
    n: usize,
    with_residual: bool,
) -> (Op, usize, usize) {
    let (op, reads, writes) = product(start, k, n, with_residual);
    (op.into(), reads, writes)
}

fn product(start: &mut Start, k: usize, n: usize, with_residual: bool) -> (Linear, usize, usize) {
    let (weight, bias) = (start.matrix(n, k), start.vector(n));
    let (x, out) = (start.aligned(k), start.aligned(n));
    let residual = with_residual.then_some(out);
    let activation = if with_residual { Activation::None } else { Activation::GeluErf };
    let tokens = start.tokens();
    let reads = 2 * (tokens * k + n * k) + 4 * n + if with_residual { 2 * tokens * n } else { 0 };
    let plain = product_of(x, [weight, bias], out, [k, n]);
    (Linear { activation, residual, ..plain }, reads, 2 * tokens * n)
}

/// The dense layer of BERT's head, once one token is left of each row.
fn dense_head(start: &mut Start) -> (Op, usize, usize) {
    let (op, reads, writes) = product(start, 768, 768, false);
    (Linear { activation: Activation::Tanh, ..op }.into(), reads, writes)
}

/// A product behind a norm, as query and feed-forward layers are.
fn behind_a_norm(start: &mut Start, k: usize, n: usize) -> (Op, usize, usize) {
    start.layout.moments = vec![k];
    let (op, reads, writes) = product(start, k, n, false);
    let x = Some(Standardised { moments: MomentsId(0), eps: 1e-5 });
    let norms = LinearNorms { x, ..LinearNorms::default() };
    let moments = 8 * start.tokens() * k.div_ceil(64);
    (Linear { norms, ..op }.into(), reads + moments + 4 * n, writes)
}

/// A product that adds a residual behind its norm and leaves its own to others.
fn before_a_norm(start: &mut Start, k: usize, n: usize) -> (Op, usize, usize) {
    start.layout.moments = vec![n; 2];
    let (op, reads, writes) = product(start, k, n, true);
    let standard = Standardised { moments: MomentsId(0), eps: 1e-5 };
    let (scale, shift) = (start.vector(n), start.vector(n));
    let residual = Some(Normalised { standard, scale, shift });
    let norms = LinearNorms { x: None, residual, out: Some(MomentsId(1)) };
    let moments = 8 * start.tokens() * n.div_ceil(64);
    (Linear { norms, ..op }.into(), reads + moments + 8 * n, writes + moments)
}

fn attention(start: &mut Start, heads: usize, head_dim: usize) -> (Op, usize, usize) {
    let width = heads * head_dim;
    let (qkv, out) = (start.aligned(3 * width), start.aligned(width));
    let tokens = start.tokens();
    (Attention { qkv, out, heads, head_dim }.into(), 6 * tokens * width, 2 * tokens * width)
}

fn ramp(start: &mut Start, pool: Pool, hidden: Option<usize>) -> (Op, usize, usize) {
    let (width, classes) = (768, 6);
    let hidden = hidden.map(|n| {
        let (weight, bias) = (start.matrix(n, width), start.vector(n));
        Hidden { weight, bias, activation: Activation::Tanh, n }
    });
    let features = hidden.as_ref().map_or(width, |hidden| hidden.n);
    let (weight, bias) = (start.matrix(classes, features), start.vector(classes));
    let head = Some(RampHead { weight, bias, classes, decision: Decision::Class });
    let x = start.aligned(width);
    let rows = start.layout.rows_max - 1;
    let pooled = if pool == Pool::Mean { start.tokens() } else { rows };
    let layers = hidden.as_ref().map_or(0, |h| 2 * h.n * width) + 2 * features * classes;
    let op =
        Ramp { exit: ExitId(0), x, tokens: RowTokens::Own, width, norm: None, pool, hidden, head };
    (op.into(), 2 * pooled * width + layers, rows * (24 + 4 * classes))
}

/// A convolution of square maps; an image is one token as wide as all its pixels, and the layout
/// is one for images.
fn conv2d(
    start: &mut Start,
    side: usize,
    [inputs, outputs]: [usize; 2],
    [kernel, stride, padding]: [usize; 3],
    with_residual: bool,
) -> (Op, usize, usize) {
    start.layout.row_pixels = 16;
    let from = Grid { height: side, width: side };
    let k = kernel * kernel * inputs;
    let to = from.windows(kernel, stride, padding).pixels();
    let (weight, bias) = (start.matrix(outputs, k), start.vector(outputs));
    let (x, out) = (start.aligned(from.pixels() * inputs), start.aligned(to * outputs));
    let residual = with_residual.then_some(out);
    let activation = Activation::Relu;
    let images = start.tokens();
    let writes = 2 * images * to * outputs;
    let reads = 2 * (images * from.pixels() * inputs + outputs * k) + 4 * outputs;
    let reads = if with_residual { reads + writes } else { reads };
    let op = Conv2d {
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
    };
    (op.into(), reads, writes)
}

/// Images, pixel by pixel or as the blocks that a window reads.
fn pixels(
    start: &mut Start,
    (side, channels): (usize, usize),
    window: Option<[usize; 3]>,
) -> (Op, usize, usize) {
    let grid = Grid { height: side, width: side };
    let fold = window.map(|window| Fold::of(grid, channels, window, 8).unwrap());
    start.layout.row_pixels = grid.pixels() * channels;
    let [scale, shift] = [start.vector(channels), start.vector(channels)];
    let none = Span { at: 0, len: 0 };
    let mut op = Pixels { grid, channels, scale, shift, fold, out: none };
    let elements = op.to().pixels() * op.width();
    op.out = start.aligned(elements);
    let images = start.tokens();
    let reads = images * start.layout.row_pixels + 2 * 4 * channels;
    (op.into(), reads, 2 * images * elements)
}

fn pool2d(start: &mut Start, side: usize, window: Window) -> (Op, usize, usize) {
    let (from, width) = (Grid { height: side, width: side }, 64);
    let x = start.aligned(from.pixels() * width);
    let mut op = Pool2d { x, from, width, window, out: x };
    op.out = start.aligned(op.to().pixels() * width);
    let bytes = |grid: Grid| 2 * grid.pixels() * width;
    let (reads, writes) = (start.tokens() * bytes(from), start.tokens() * bytes(op.to()));
    (op.into(), reads, writes)
}

#[test]
fn kernels_cost_what_the_table_says() {
    let Some((_alone, driver)) = alone() else { return };
    let measured: Vec<_> = CASES.iter().map(|case| (case, case.run(driver))).collect();
    insta::assert_snapshot!(table(&measured));
    insta::assert_snapshot!("what_holds_the_kernels", bounds::table(&measured));
}

/// `name, device, rows x tokens, op;` each.
macro_rules! cases {
    ($($name:literal, $make:expr, $rows:literal x $tokens:literal, $op:expr;)*) => {
        const CASES: &[Case] = &[$(
            Case { name: $name, make: $make, rows: $rows, tokens: $tokens, declare: $op },
        )*];
    };
}

cases! {
    "linear 64x768x768 + residual, in shares", F16, 1 x 64, |start| linear(start, 768, 768, true);
    "linear 64x768x768 + residual", machine::small, 1 x 64, |start| linear(start, 768, 768, true);
    "linear 256x768x256 gelu", machine::wide, 2 x 128, |start| linear(start, 768, 256, false);
    "linear 256x768x384 gelu", machine::broad, 2 x 128, |start| linear(start, 768, 384, false);
    "linear 128x768x768 gelu", machine::wide, 1 x 128, |start| linear(start, 768, 768, false);
    "the same behind a norm", machine::wide, 1 x 128, |start| behind_a_norm(start, 768, 768);
    "linear 128x768x768 + residual", machine::wide, 1 x 128, |start| linear(start, 768, 768, true);
    "the same between two norms", machine::wide, 1 x 128, |start| before_a_norm(start, 768, 768);
    "linear 200x160x480 gelu, ragged", machine::wide, 1 x 200, |s| linear(s, 160, 480, false);
    "linear 33x37x33 gelu, unaligned", F16, 1 x 33, |start| linear(start, 37, 33, false);
    "attention 1x128, 12 heads of 64", F16, 1 x 128, |start| attention(start, 12, 64);
    "attention 2x128, 12 heads of 32", F16, 2 x 128, |start| attention(start, 12, 32);
    "attention 1x128, 2 heads of 128", F16, 1 x 128, |start| attention(start, 2, 128);
    "attention 4x9, 5 heads of 32", F16, 4 x 9, |start| attention(start, 5, 32);
    "norm 128x768", F16, 1 x 128, norm;
    "embed 128x768", F16, 1 x 128, embed;
    "conv2d 4x14x14x128, 3x3 to 128", machine::wide, 4 x 1,
        |s| conv2d(s, 14, [128, 128], [3, 1, 1], false);
    "conv2d 4x14x14x64, 3x3 to 64 + residual", F16, 4 x 1,
        |s| conv2d(s, 14, [64, 64], [3, 1, 1], true);
    "conv2d 4x14x14x64, 1x1/2 to 128", F16, 4 x 1, |s| conv2d(s, 14, [64, 128], [1, 2, 0], false);
    "conv2d 1x7x7x256, 1x1 to 256", F16, 1 x 1, |s| conv2d(s, 7, [256, 256], [1, 1, 0], false);
    "conv2d 2x28x28x16, 3x3 to 16 + residual", F16, 2 x 1,
        |s| conv2d(s, 28, [16, 16], [3, 1, 1], true);
    "conv2d 1x32x32x3, 7x7/2 to 64", F16, 1 x 1, |s| conv2d(s, 32, [3, 64], [7, 2, 3], false);
    "the same over blocks of 2x2 pixels", F16, 1 x 1, |s| conv2d(s, 19, [16, 64], [4, 1, 0], false);
    "conv2d 2x32x32x3, 3x3 to 16", F16, 2 x 1, |s| conv2d(s, 32, [3, 16], [3, 1, 1], false);
    "the same over 8 channels", F16, 2 x 1, |s| conv2d(s, 34, [8, 16], [3, 1, 0], false);
    "conv2d 1x32x32x3, 3x3 to 64", F16, 1 x 1, |s| conv2d(s, 32, [3, 64], [3, 1, 1], false);
    "the same over 8 channels", F16, 1 x 1, |s| conv2d(s, 34, [8, 64], [3, 1, 0], false);
    "pixels 1x32x32x3", F16, 1 x 1, |start| pixels(start, (32, 3), None);
    "pixels 1x32x32x3, blocks of 2x2", F16, 1 x 1, |start| pixels(start, (32, 3), Some([7, 2, 3]));
    "pixels 1x28x28x1, 8 channels", F16, 1 x 1, |start| pixels(start, (28, 1), Some([3, 1, 1]));
    "conv2d 1x28x28x1, 3x3 to 16", F16, 1 x 1, |s| conv2d(s, 28, [1, 16], [3, 1, 1], false);
    "the same over 8 channels", F16, 1 x 1, |s| conv2d(s, 30, [8, 16], [3, 1, 0], false);
    "pixels 1x28x28x1", F16, 1 x 1, |start| pixels(start, (28, 1), None);
    "pixels 1x32x32x3, 8 channels", F16, 1 x 1, |start| pixels(start, (32, 3), Some([3, 1, 1]));
    "pool2d 2x28x28x64, max 3x3/2", F16, 2 x 1,
        |s| pool2d(s, 28, Window::Max { kernel: 3, stride: 2, padding: 1 });
    "pool2d 4x7x7x64, mean", F16, 4 x 1,
        |s| pool2d(s, 7, Window::MeanTo(Grid { height: 1, width: 1 }));
    "ramp 8x16x768, first", F16, 8 x 16, |start| ramp(start, Pool::First, None);
    "ramp 8x16x768, mean", F16, 8 x 16, |start| ramp(start, Pool::Mean, None);
    "linear 2x768x768 tanh, a head in shares", F16, 2 x 1, dense_head;
    "linear 32x768x768 tanh, a head", machine::small, 32 x 1, dense_head;
    "ramp 2x1x768, first", F16, 2 x 1, |start| ramp(start, Pool::First, None);
    "ramp 32x1x768, first", F16, 32 x 1, |start| ramp(start, Pool::First, None);
    "ramp 32x1x768, hidden 768", F16, 32 x 1, |start| ramp(start, Pool::First, Some(768));
    "ramp 2x16x768, hidden 768", F16, 2 x 16, |start| ramp(start, Pool::First, Some(768));
    "compact 32x128", F16, 32 x 128, compact;
    "narrow 32x128", F16, 32 x 128, narrow;
}

fn vectors(start: &mut Start) -> [WeightId; 2] {
    [start.vector(768), start.vector(768)]
}

fn norm(start: &mut Start) -> (Op, usize, usize) {
    let [scale, shift] = vectors(start);
    let x = start.aligned(768);
    let bytes = 2 * start.tokens() * 768;
    (Norm { x, scale, shift, eps: 1e-5, out: x, width: 768 }.into(), bytes + 2 * 4 * 768, bytes)
}

fn embed(start: &mut Start) -> (Op, usize, usize) {
    let [scale, shift] = vectors(start);
    let (word, position) = (start.table(50, 768), start.table(128, 768));
    let (out, bytes) = (start.aligned(768), 2 * start.tokens() * 768);
    let norm = Some(NormWeights { scale, shift, eps: 1e-5 });
    let embed = Embed { word, position, kind: None, norm, out, width: 768 };
    // Words come again, positions and the output once.
    (embed.into(), bytes + 2 * 50 * 768 + 2 * 4 * 768 + 8 * start.tokens(), bytes)
}

fn compact(start: &mut Start) -> (Op, usize, usize) {
    let x = start.aligned(8);
    let rows = start.layout.rows_max - 1;
    (
        Compact { x, tokens: RowTokens::Own, width: 8 }.into(),
        rows * 32,
        8 * start.tokens() + rows * 8,
    )
}

fn narrow(start: &mut Start) -> (Op, usize, usize) {
    let (x, other) = (start.aligned(8), start.aligned(8));
    let rows = start.layout.rows_max - 1;
    (Narrow { values: [x, other], width: 8 }.into(), rows * 8, rows * 16)
}
