//! Chooses the machine.

use std::fmt;
use std::str::FromStr;

use offramp_kernels::cpu::CpuDevice;
use offramp_kernels::{
    Activation, Admission, ArenaLayout, Device, Linear, LinearNorms, LiveBound, Op, RowInput,
    Score, Span, Token, WeightData, WeightForm, WeightId,
};

use crate::clock;
use crate::error::{Error, Result};

/// Where to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first GPU that can run the kernels, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its number.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("unknown device {text:?}: expected auto, cpu, cuda or cuda:N");
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => {
                let ordinal = text.strip_prefix("cuda:").ok_or_else(unknown)?;
                ordinal.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// How a GPU stores activations and weights. Sums are f32 with all; the CPU stores f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 11 significant bits, up to 65504.
    #[default]
    F16,
    /// 8 significant bits, the range of f32.
    Bf16,
    /// f32, which products take in two parts of 11 significant bits (three TF32 products for each):
    /// answers as with f32, within 1e-4 by product and 1e-3 by model.
    Tf32,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            "tf32" => Ok(Self::Tf32),
            _ => Err(format!("unknown precision {text:?}: expected f16, bf16 or tf32")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Tf32 => "tf32",
        })
    }
}

/// A device of this machine, usable or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What to ask for: `cpu`, `cuda:0`; `cuda` where none was found.
    pub choice: String,
    /// What it is.
    pub name: String,
    /// Its own memory in bytes; `None` where it shares the machine's.
    pub memory_bytes: Option<usize>,
    /// Shared memory that a block of a kernel may have, in bytes; `None` where there is no such.
    pub shared_bytes: Option<usize>,
    /// Why it cannot be used, if it cannot.
    pub refusal: Option<String>,
}

/// The devices of this machine: GPUs, then the CPU.
///
/// # Errors
/// The CPU cannot be asked.
pub fn devices() -> Result<Vec<DeviceInfo>> {
    let mut devices = gpu::list();
    devices.push(DeviceInfo {
        choice: DeviceChoice::Cpu.to_string(),
        name: CpuDevice::new(cores())?.name(),
        memory_bytes: None,
        shared_bytes: None,
        refusal: None,
    });
    Ok(devices)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Starts a device; `threads` of 0 is one per core.
pub(crate) fn open(
    choice: DeviceChoice,
    threads: usize,
    precision: Precision,
) -> Result<Box<dyn Device>> {
    let threads = if threads == 0 { cores() } else { threads };
    if threads > 1024 {
        return Err(Error::Options(format!("{threads} threads: at most 1024")));
    }
    let gpu = match choice {
        DeviceChoice::Cpu => None,
        DeviceChoice::Auto => gpu::first(),
        DeviceChoice::Cuda(ordinal) => Some(ordinal),
    };
    match gpu {
        Some(ordinal) => gpu::open(ordinal, precision),
        None => Ok(Box::new(CpuDevice::new(threads)?)),
    }
}

/// GPUs, where the build knows of any.
#[cfg(feature = "cuda")]
mod gpu {
    use offramp_kernels::Device;
    use offramp_kernels::cuda::{CudaDevice, Elem, Gpu, gpus};

    use super::{DeviceChoice, DeviceInfo, Precision, Result};

    pub(super) fn list() -> Vec<DeviceInfo> {
        match gpus() {
            Ok(gpus) => gpus.iter().map(about).collect(),
            Err(reason) => vec![DeviceInfo {
                choice: "cuda".into(),
                name: "none".into(),
                memory_bytes: None,
                shared_bytes: None,
                refusal: Some(reason.to_string()),
            }],
        }
    }

    fn about(gpu: &Gpu) -> DeviceInfo {
        let (major, minor) = gpu.compute;
        DeviceInfo {
            choice: DeviceChoice::Cuda(gpu.ordinal).to_string(),
            name: format!("{} (compute {major}.{minor})", gpu.name),
            memory_bytes: Some(gpu.memory_bytes),
            shared_bytes: Some(gpu.block_shared_bytes),
            refusal: gpu.refusal(),
        }
    }

    /// The first that can run the kernels.
    pub(super) fn first() -> Option<usize> {
        let usable = |gpu: &Gpu| gpu.refusal().is_none();
        gpus().ok()?.into_iter().find(usable).map(|gpu| gpu.ordinal)
    }

    pub(super) fn open(ordinal: usize, precision: Precision) -> Result<Box<dyn Device>> {
        let elem = match precision {
            Precision::F16 => Elem::F16,
            Precision::Bf16 => Elem::Bf16,
            Precision::Tf32 => Elem::Tf32,
        };
        Ok(Box::new(CudaDevice::new(ordinal, elem)?))
    }
}

/// A build without GPUs.
#[cfg(not(feature = "cuda"))]
mod gpu {
    use offramp_kernels::Device;

    use super::{DeviceInfo, Error, Precision, Result};

    pub(super) fn list() -> Vec<DeviceInfo> {
        Vec::new()
    }

    pub(super) fn first() -> Option<usize> {
        None
    }

    pub(super) fn open(_ordinal: usize, _precision: Precision) -> Result<Box<dyn Device>> {
        Err(Error::Options("this build has no CUDA: it lacks the feature `cuda`".into()))
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
    let mut device = open(choice, threads, Precision::default())?;
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
        ..ArenaLayout::default()
    })?;
    let mut rng = fastrand::Rng::with_seed(7);
    let values: Vec<f32> = (0..len).map(|_| rng.f32() - 0.5).collect();
    device.load(WeightId(0), 0, WeightData::F32(&values))?;
    device.load(WeightId(1), 0, WeightData::F32(&values[..n]))?;
    device.begin(&Admission {
        input: RowInput::Text {
            tokens: &vec![Token { id: 0, position: 0, kind: 0 }; n],
            offsets: &[0, n as u32],
        },
        stays: &[true],
        windows: &[],
        score: Score::Confidence,
        thresholds: &[0.0],
    })?;
    device.write(x, &values)?;
    let (weight, bias) = (WeightId(0), WeightId(1));
    let activation = Activation::None;
    Ok(Op::Linear(Linear {
        x,
        weight,
        bias,
        activation,
        residual: None,
        out,
        norms: LinearNorms::default(),
        k: n,
        n,
    }))
}
