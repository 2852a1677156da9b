//! What these tests run on: a CUDA device, interpreted or real.

use std::sync::{Mutex, OnceLock};

use offramp::{DeviceChoice, EngineOptions, Limits, Precision};
use offramp_kernels::Device;
use offramp_kernels::cuda::{CudaDevice, Elem, Tile, Tuning};
use offramp_libcuda::Simulator;
use offramp_tests::suite::{Make, Suite, Tolerance};

/// Random cases of a property; forwards take their time on an interpreter.
pub(crate) fn cases() -> u32 {
    if is_real() { 30 } else { 3 }
}

/// Largest difference to the original framework's f32 logits, absolute.
pub(crate) const LOGITS_ABS: f32 = if IS_TF32 { 1e-3 } else { 2e-3 };
/// The same, relative to the largest logit of the row.
pub(crate) const LOGITS_REL: f32 = if IS_TF32 { 0.0 } else { 2e-2 };
/// The same for images. The worst is a residual network of four channels: rounding weights and
/// values to f16 alone moves its logits by 2.5 %.
pub(crate) const IMAGE_LOGITS_REL: f32 = if IS_TF32 { 0.0 } else { 3e-2 };

const IS_TF32: bool = matches!(crate::PRECISION, Precision::Tf32);

/// Whether the machine's own driver is under test.
pub(crate) fn is_real() -> bool {
    std::env::var_os("OFFRAMP_TEST_DRIVER").is_some_and(|driver| driver == "system")
}

/// Loads the driver under test, once for the process; `None` for the machine's own.
pub(crate) fn driver() -> Option<&'static Simulator> {
    static LOADED: OnceLock<Option<Simulator>> = OnceLock::new();
    LOADED.get_or_init(|| (!is_real()).then(load)).as_ref()
}

fn load() -> Simulator {
    let simulator = Simulator::load().unwrap();
    if let Some(card) = crate::CARD {
        assert!(simulator.choose_card(card), "no card {card:?}");
    }
    simulator
}

/// Loads the driver, and keeps a device open for each storage format: contexts and kernels go
/// with the last device that uses them, and tests open one after the other.
fn keep_loaded() {
    static KEPT: OnceLock<Mutex<[CudaDevice; 3]>> = OnceLock::new();
    driver();
    let open = |elem| CudaDevice::new(0, elem).unwrap();
    KEPT.get_or_init(|| Mutex::new([Elem::F16, Elem::Bf16, Elem::Tf32].map(open)));
}

/// How to start an engine here.
pub(crate) fn options() -> EngineOptions {
    keep_loaded();
    let limits = Limits { rows_max: 64, tokens_max: 4096 };
    let (device, precision) = (DeviceChoice::Cuda(0), crate::PRECISION);
    EngineOptions { device, limits, precision, ..EngineOptions::default() }
}

/// The op suite on devices with f16 and its tolerance.
pub(crate) fn suite(make: Make) -> Suite {
    Suite { make, tolerance: Tolerance::F16 }
}

/// A device with f16, for the op suite.
pub(crate) fn f16() -> Option<Box<dyn Device>> {
    device(Elem::F16)
}

/// A device for the op suite.
pub(crate) fn device(elem: Elem) -> Option<Box<dyn Device>> {
    keep_loaded();
    Some(Box::new(CudaDevice::new(0, elem).unwrap()))
}

/// A device that uses this tile wherever it can, and never cuts a sum.
fn with_tile(tile: Tile) -> Option<Box<dyn Device>> {
    keep_loaded();
    let device = CudaDevice::new(0, Elem::F16).unwrap();
    Some(Box::new(device.with_tuning(Tuning { split_tokens: 0, tile: Some(tile) })))
}

/// Tiles of 128 x 192; of 128 x 128 for convolutions, and where a block cannot have that much
/// shared memory.
pub(crate) fn broad() -> Option<Box<dyn Device>> {
    with_tile(Tile::Broad)
}

/// Tiles of 128 x 128.
pub(crate) fn wide() -> Option<Box<dyn Device>> {
    with_tile(Tile::Wide)
}

/// Tiles of 64 x 64.
pub(crate) fn small() -> Option<Box<dyn Device>> {
    with_tile(Tile::Few)
}
