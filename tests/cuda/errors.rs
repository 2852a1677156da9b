//! What a CUDA device refuses, each in one clear sentence.

use offramp_kernels::cuda::{CudaDevice, Elem, gpus};
use offramp_kernels::{ArenaLayout, Device, Error, WeightForm, WeightId};

use crate::machine;

#[test]
fn a_device_that_is_not_there_is_named() {
    machine::driver();
    let count = gpus().unwrap().len();
    let error = CudaDevice::new(count, Elem::F16).err().unwrap().to_string();
    assert_eq!(error, format!("cuda: device {count}: there are {count}, from 0"));
}

#[test]
fn nothing_runs_before_memory_is_reserved() {
    machine::driver();
    let mut device = CudaDevice::new(0, Elem::F16).unwrap();
    assert!(device.load(WeightId(0), 0, &[1.0]).is_err());
    assert!(device.name().starts_with("cuda "));
    assert_eq!(device.reserved_bytes(), 0);
}

#[test]
fn numbers_that_f16_cannot_hold_are_refused() {
    machine::driver();
    let weights = vec![WeightForm::Matrix { n: 1, k: 2 }, WeightForm::Vector { len: 1 }];
    let layout = ArenaLayout { weights, ..ArenaLayout::default() };
    for (elem, is_fine) in [(Elem::F16, false), (Elem::Bf16, true)] {
        let mut device = CudaDevice::new(0, elem).unwrap();
        device.reserve(&layout).unwrap();
        let loaded = device.load(WeightId(0), 0, &[1.0, 1e6]);
        assert_eq!(loaded.is_ok(), is_fine, "{loaded:?}");
        assert!(device.load(WeightId(1), 0, &[1e6]).is_ok(), "vectors are f32");
    }
}

#[test]
fn more_than_the_device_holds_is_out_of_memory() {
    machine::driver();
    let mut device = CudaDevice::new(0, Elem::F16).unwrap();
    let layout = ArenaLayout { activations: 1 << 50, ..ArenaLayout::default() };
    let error = device.reserve(&layout).unwrap_err();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    device.reserve(&ArenaLayout::default()).unwrap();
}
