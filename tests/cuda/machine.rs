//! What these tests run on: a CUDA device, interpreted or real.

use std::sync::OnceLock;

use offramp::{DeviceChoice, EngineOptions, Limits};
use offramp_kernels::Device;
use offramp_kernels::cuda::{CudaDevice, Elem, Tuning};
use offramp_libcuda::Simulator;

/// Random cases of a property; forwards take their time on an interpreter.
pub(crate) const CASES: u32 = 3;
/// Largest difference to the original framework's f32 logits, absolute.
pub(crate) const LOGITS_ABS: f32 = 2e-3;
/// The same, relative to the largest logit of the row.
pub(crate) const LOGITS_REL: f32 = 2e-2;
/// The same for images. The worst is a residual network of four channels: rounding weights and
/// values to f16 alone moves its logits by 2.5 %.
pub(crate) const IMAGE_LOGITS_REL: f32 = 3e-2;

/// Whether the machine's own driver is under test.
pub(crate) fn is_real() -> bool {
    std::env::var_os("OFFRAMP_TEST_DRIVER").is_some_and(|driver| driver == "system")
}

/// Loads the driver under test, once for the process; `None` for the machine's own.
pub(crate) fn driver() -> Option<&'static Simulator> {
    static LOADED: OnceLock<Option<Simulator>> = OnceLock::new();
    LOADED.get_or_init(|| (!is_real()).then(|| Simulator::load().unwrap())).as_ref()
}

/// How to start an engine here.
pub(crate) fn options() -> EngineOptions {
    driver();
    let limits = Limits { rows_max: 64, tokens_max: 4096 };
    EngineOptions { device: DeviceChoice::Cuda(0), limits, ..EngineOptions::default() }
}

/// A device for the op suite.
pub(crate) fn device(elem: Elem) -> Option<Box<dyn Device>> {
    driver();
    Some(Box::new(CudaDevice::new(0, elem).unwrap()))
}

/// A device that uses the large tiles wherever they fit, and never cuts a sum.
pub(crate) fn wide() -> Option<Box<dyn Device>> {
    driver();
    let device = CudaDevice::new(0, Elem::F16).unwrap();
    Some(Box::new(device.with_tuning(Tuning { split_tokens: 0, wide_tiles: 1 })))
}

/// A device that uses the small tiles only, and never cuts a sum.
pub(crate) fn small() -> Option<Box<dyn Device>> {
    driver();
    let device = CudaDevice::new(0, Elem::F16).unwrap();
    Some(Box::new(device.with_tuning(Tuning { split_tokens: 0, wide_tiles: usize::MAX })))
}
