//! Resizing as Pillow does it, to the byte: a separable filter that widens when shrinking, columns
//! before rows, in 22-bit fixed point and rounded to bytes in between.
//!
//! Only what the crop keeps is computed: a narrow picture would else grow without bounds.

use std::iter::successors;
use std::ops::Range;

use offramp_weights::image::Interpolation;

/// Bits behind the point; 8 of a byte and 2 for sums that overshoot are left of 32.
const FRACTION_BITS: u32 = 32 - 8 - 2;
const ONE: i32 = 1 << FRACTION_BITS;
const HALF: i32 = ONE / 2;

/// How one side changes.
pub(super) struct Side {
    /// Pixels that there are.
    pub(super) from: usize,
    /// Pixels that they become.
    pub(super) to: usize,
    /// Those of them that are wanted; at least one.
    pub(super) wanted: Range<usize>,
}

/// The wanted part of a picture of `[height, width, channels]`, resized.
pub(super) fn resize(
    pixels: &[u8],
    [rows, columns]: &[Side; 2],
    channels: usize,
    interpolation: Interpolation,
) -> Vec<u8> {
    let (down, across) = (taps(rows, interpolation), taps(columns, interpolation));
    let top = down.first().map_or(0, |taps| taps.first);
    let bottom = down.last().map_or(0, |taps| taps.first + taps.weights.len());
    let stride = columns.from * channels;
    let lines = pixels[top * stride..bottom * stride].chunks_exact(stride);
    let narrow: Vec<u8> = lines.flat_map(|line| resize_line(line, &across, channels)).collect();
    let stride = across.len() * channels;
    let pixel = |taps: &Taps, at| taps.mix(&narrow[(taps.first - top) * stride + at..], stride);
    down.iter().flat_map(|taps| (0..stride).map(|at| pixel(taps, at))).collect()
}

fn resize_line(line: &[u8], across: &[Taps], channels: usize) -> impl Iterator<Item = u8> {
    across.iter().flat_map(move |taps| {
        (0..channels)
            .map(move |channel| taps.mix(&line[taps.first * channels + channel..], channels))
    })
}

/// The neighbours along one side that one pixel is mixed of.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

impl Taps {
    /// Mixes every `step`th byte.
    fn mix(&self, bytes: &[u8], step: usize) -> u8 {
        let values = bytes.iter().step_by(step);
        let sum: i32 = self.weights.iter().zip(values).map(|(w, &x)| w * i32::from(x)).sum();
        ((HALF + sum) >> FRACTION_BITS).clamp(0, 255) as u8
    }
}

fn taps(side: &Side, interpolation: Interpolation) -> Vec<Taps> {
    let wanted = side.wanted.clone();
    match interpolation {
        Interpolation::Nearest => nearest(side),
        Interpolation::Bilinear => wanted.map(|at| mixed(side, at, 1.0, triangle)).collect(),
        Interpolation::Bicubic => wanted.map(|at| mixed(side, at, 2.0, cubic)).collect(),
    }
}

/// The pixel under the middle of each. Middles are added up, as Pillow does: its ties fall so.
fn nearest(side: &Side) -> Vec<Taps> {
    let scale = side.from as f64 / side.to as f64;
    let middles = successors(Some(0.5 * scale), |middle| Some(middle + scale));
    let wanted = middles.skip(side.wanted.start).take(side.wanted.len());
    let taps = |middle| Taps { first: (middle as usize).min(side.from - 1), weights: vec![ONE] };
    wanted.map(taps).collect()
}

/// The pixels within `reach` of pixel `at`, in pixels of the larger grid.
fn mixed(side: &Side, at: usize, reach: f64, filter: fn(f64) -> f64) -> Taps {
    let scale = side.from as f64 / side.to as f64;
    let (widened, centre) = (scale.max(1.0), (at as f64 + 0.5) * scale);
    // Casts cut what is below 0 to 0.
    let first = (centre - reach * widened + 0.5) as usize;
    let end = ((centre + reach * widened + 0.5) as usize).min(side.from);
    let share = |pixel: usize| filter((pixel as f64 - centre + 0.5) / widened);
    let total: f64 = (first..end).map(share).sum();
    let weight = |pixel| (share(pixel) / total * f64::from(ONE)).round() as i32;
    Taps { first, weights: (first..end).map(weight).collect() }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// R. Keys, "Cubic convolution interpolation for digital image processing" (1981), a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}
