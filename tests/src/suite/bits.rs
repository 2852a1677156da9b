//! The bits of matrix products and convolutions: tensor cores of one architecture give the same
//! ones everywhere.
//!
//! Values have full significands and sizes far apart, so that what a tensor core cuts off tells.
//! Each op runs twice: the second time its own output is taken away as a residual, which leaves
//! the low bits of the sums that storage in 16 bits would hide.

use offramp_kernels::{Activation, Conv2d, Grid, Linear, Op, Span, WeightForm, WeightId};

use super::linear::product;
use super::{Start, Suite};

/// The outputs of an op as it is stored.
#[derive(Debug)]
pub struct Piece {
    /// The op and its shape.
    pub name: String,
    /// By element; low bits of the sums behind all outputs.
    pub bits: Vec<u16>,
}

/// How a device stores an activation: the bits of a number that it holds exactly.
pub type Store = fn(f32) -> u16;

/// Tokens, inputs and outputs.
const LINEAR: [[usize; 3]; 4] = [[33, 264, 72], [5, 1032, 40], [9, 37, 21], [258, 136, 8]];
/// Side of the images, inputs, outputs, and side, stride and padding of the window.
const CONV2D: [[usize; 6]; 4] =
    [[6, 16, 24, 3, 1, 1], [6, 16, 16, 3, 1, 1], [9, 3, 8, 7, 2, 3], [5, 64, 32, 1, 1, 0]];
const IMAGES: usize = 2;

/// Runs all of them.
pub fn transcript(suite: &Suite, store: Store) -> Vec<Piece> {
    let linear = LINEAR.iter().map(|shape| linear(suite, *shape, store));
    linear.chain(CONV2D.iter().map(|shape| conv2d(suite, *shape, store))).collect()
}

/// All bits one after the other, little-endian.
pub fn bytes(pieces: &[Piece]) -> Vec<u8> {
    pieces.iter().flat_map(|piece| &piece.bits).flat_map(|bits| bits.to_le_bytes()).collect()
}

/// Compares with bytes that were stored.
///
/// # Errors
/// A line for each op whose bits differ: its shape, how many elements differ, and the first of
/// them.
pub fn compare(pieces: &[Piece], stored: &[u8]) -> Result<(), String> {
    let stored = stored.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let stored: Vec<u16> = stored.collect();
    let wanted: usize = pieces.iter().map(|piece| piece.bits.len()).sum();
    if stored.len() != wanted {
        return Err(format!("{} elements are stored of {wanted}", stored.len()));
    }
    let mut from = 0;
    let mut lines = Vec::new();
    for piece in pieces {
        let expected = &stored[from..from + piece.bits.len()];
        lines.extend(piece.difference(expected));
        from += piece.bits.len();
    }
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

impl Piece {
    /// How it differs from what is expected, if it does.
    fn difference(&self, expected: &[u16]) -> Option<String> {
        let Self { name, bits } = self;
        let pairs = || bits.iter().zip(expected).enumerate();
        let differ = pairs().filter(|(_, (found, expected))| found != expected).count();
        let (at, (found, expected)) = pairs().find(|(_, (found, expected))| found != expected)?;
        let half = if at < bits.len() / 2 { "of the outputs" } else { "of the low bits" };
        let at = at % (bits.len() / 2);
        Some(format!(
            "{name}: {differ} of {} elements differ, first {at} {half}: expected {expected:#06x}, \
             found {found:#06x}",
            bits.len()
        ))
    }
}

/// Full significands, sizes from 1/8 to 4.
fn values(start: &mut Start, len: usize) -> Vec<f32> {
    let mut next = || (start.random.f32() + 1.0) * f32::from(start.random.i8(-3..2)).exp2();
    let signed = |x: f32, at: usize| if at % 7 < 3 { -x } else { x };
    (0..len).map(|at| signed(next(), at)).collect()
}

fn matrix(start: &mut Start, n: usize, k: usize) -> WeightId {
    let values = values(start, n * k);
    start.weight(WeightForm::Matrix { n, k }, values)
}

fn linear(suite: &Suite, [tokens, k, n]: [usize; 3], store: Store) -> Piece {
    let mut start = Start::new(&[tokens]);
    let weight = matrix(&mut start, n, k);
    let bias = start.vector(n);
    let (x, out, low) = (start.aligned(k), start.aligned(n), start.aligned(n));
    let values = values(&mut start, tokens * k);
    let op = |residual: Option<Span>, out: Span| -> Op {
        Linear { residual, ..product(x, [weight, bias], out, [k, n]) }.into()
    };
    let bits = both(suite, start, (x, &values), [out, low], (n, op), store);
    Piece { name: format!("linear of {tokens} tokens, {k} to {n}"), bits }
}

fn conv2d(suite: &Suite, shape: [usize; 6], store: Store) -> Piece {
    let [side, inputs, outputs, kernel, stride, padding] = shape;
    let mut start = Start::new(&[1; IMAGES]);
    start.layout.row_pixels = 16;
    let from = Grid { height: side, width: side };
    let weight = matrix(&mut start, outputs, kernel * kernel * inputs);
    let bias = start.vector(outputs);
    let wide = from.pixels() * inputs;
    let size = from.windows(kernel, stride, padding).pixels() * outputs;
    let x = start.aligned(wide);
    let (out, low) = (start.aligned(size), start.aligned(size));
    let values = values(&mut start, IMAGES * wide);
    let op = |residual: Option<Span>, out: Span| -> Op {
        let activation = Activation::None;
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
        .into()
    };
    let bits = both(suite, start, (x, &values), [out, low], (size, op), store);
    let window = format!("windows of {kernel} by {stride}");
    Piece { name: format!("conv2d of {side}x{side}, {inputs} to {outputs}, {window}"), bits }
}

/// The outputs, and the low bits of the sums.
fn both(
    suite: &Suite,
    start: Start,
    (x, values): (Span, &[f32]),
    [out, low]: [Span; 2],
    (width, op): (usize, impl Fn(Option<Span>, Span) -> Op),
    store: Store,
) -> Vec<u16> {
    let mut stage = start.begin(suite);
    stage.write(x, values);
    stage.issue(op(None, out));
    let mut outputs = stage.output(out, width);
    let taken: Vec<f32> = outputs.iter().map(|x| -x).collect();
    stage.write(out, &taken);
    stage.issue(op(Some(out), low));
    outputs.extend(stage.output(low, width));
    outputs.into_iter().map(store).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let piece = |name: &str, bits: &[u16]| Piece { name: name.into(), bits: bits.to_vec() };
        let pieces = [piece("linear", &[1, 2, 3, 4]), piece("conv2d", &[5, 6, 7, 8])];
        let stored = bytes(&pieces);
        assert_eq!(compare(&pieces, &stored), Ok(()));
        assert!(compare(&pieces, &stored[2..]).is_err_and(|what| what.contains("7 elements")));
        let mut other = stored;
        (other[10], other[12]) = (0, 0);
        let expected = "conv2d: 2 of 4 elements differ, first 1 of the outputs: expected 0x0000, \
                        found 0x0006";
        assert_eq!(compare(&pieces, &other), Err(expected.into()));
    }
}
