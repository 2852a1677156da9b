//! Chooses the machine.

use std::fmt;
use std::str::FromStr;

use offramp_kernels::cpu::CpuDevice;
use offramp_kernels::{
    Activation, ArenaLayout, Device, Linear, LiveBound, Op, PassInput, Score, Span, Token,
    WeightForm, WeightId,
};

use crate::clock;
use crate::error::{Error, Result};

/// Where to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest device there is.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => Err(format!("unknown device {text:?}: expected auto or cpu")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
        })
    }
}

/// Starts a device; `threads` of 0 is one per core.
pub(crate) fn open(choice: DeviceChoice, threads: usize) -> Result<Box<dyn Device>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores } else { threads };
    if threads > 1024 {
        return Err(Error::Options(format!("{threads} threads: at most 1024")));
    }
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Box::new(CpuDevice::new(threads)?)),
    }
}

/// Side of the square matrices that [`peak_gflops`] multiplies.
const PEAK_SIDE: usize = 1024;

/// The dense matrix peak of a device as the engine reaches it, in GFLOP/s: the best of some
/// products of 1024 x 1024 matrices. What a forward attains is read against it.
///
/// # Errors
/// The device cannot be started or has no room.
pub fn peak_gflops(choice: DeviceChoice, threads: usize) -> Result<f64> {
    const ROUNDS: usize = 12;
    let mut device = open(choice, threads)?;
    let op = peak_product(device.as_mut())?;
    let bound = LiveBound { rows: 1, tokens: PEAK_SIDE };
    let mut best_s = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = clock::now();
        device.issue(&op, bound)?;
        device.finish()?;
        best_s = best_s.min(started.elapsed().as_secs_f64());
    }
    Ok(op.cost(bound).flops / best_s / 1e9)
}

/// One row of as many tokens as the matrix has rows, and the product to run on it.
fn peak_product(device: &mut dyn Device) -> Result<Op> {
    let (n, len) = (PEAK_SIDE, PEAK_SIDE * PEAK_SIDE);
    let (x, out) = (Span { at: 0, len }, Span { at: len, len });
    device.reserve(&ArenaLayout {
        rows_max: 1,
        tokens_max: n,
        row_tokens_max: n,
        activations: 2 * len,
        exits: 1,
        logits_max: 1,
        features_max: 1,
        weights: vec![WeightForm::Matrix { n, k: n }, WeightForm::Vector { len: n }],
    })?;
    let mut rng = fastrand::Rng::with_seed(7);
    let values: Vec<f32> = (0..len).map(|_| rng.f32() - 0.5).collect();
    device.load(WeightId(0), 0, &values)?;
    device.load(WeightId(1), 0, &values[..n])?;
    device.begin(&PassInput {
        tokens: &vec![Token { id: 0, position: 0, kind: 0 }; n],
        offsets: &[0, n as u32],
        stays: &[true],
        windows: &[],
        score: Score::Confidence,
        thresholds: &[0.0],
    })?;
    device.write(x, &values)?;
    let (weight, bias) = (WeightId(0), WeightId(1));
    let activation = Activation::None;
    Ok(Op::Linear(Linear { x, weight, bias, activation, residual: None, out, k: n, n }))
}
