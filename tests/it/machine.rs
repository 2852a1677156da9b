//! What these tests run on: the CPU, in f32.

use offramp::{DeviceChoice, EngineOptions};

/// Random cases of a property.
pub(crate) fn cases() -> u32 {
    48
}

/// Largest difference to the original framework's f32 logits, absolute.
pub(crate) const LOGITS_ABS: f32 = 1e-4;
/// The same, relative to the largest logit of the row.
pub(crate) const LOGITS_REL: f32 = 0.0;
/// The same for images.
pub(crate) const IMAGE_LOGITS_REL: f32 = 0.0;

/// How to start an engine here.
pub(crate) fn options() -> EngineOptions {
    EngineOptions { device: DeviceChoice::Cpu, ..EngineOptions::default() }
}
