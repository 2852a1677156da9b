//! What a CUDA device refuses, each in one clear sentence.

use offramp_kernels::cuda::{CudaDevice, Elem, gpus};
use offramp_kernels::{
    ArenaLayout, Decision, Device, Error, ExitId, LiveBound, Op, Pool, Ramp, RampHead, RowTokens,
    WeightData, WeightForm, WeightId,
};
use offramp_tests::suite::Start;

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
    assert!(device.load(WeightId(0), 0, WeightData::F32(&[1.0])).is_err());
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
        let loaded = device.load(WeightId(0), 0, WeightData::F32(&[1.0, 1e6]));
        assert_eq!(loaded.is_ok(), is_fine, "{loaded:?}");
        assert!(device.load(WeightId(1), 0, WeightData::F32(&[1e6])).is_ok(), "vectors are f32");
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

#[test]
fn more_rows_than_a_grid_can_have_are_refused_before_any_launch() {
    machine::driver();
    let mut device = CudaDevice::new(0, Elem::F16).unwrap();
    for (rows_max, tokens_max, what) in [(70_000, 70_000, "rows"), (8, 2_000_000, "tokens")] {
        let layout = ArenaLayout { rows_max, tokens_max, ..ArenaLayout::default() };
        let error = device.reserve(&layout).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{what} of a pass: expected at most")), "{error}");
    }
    device.reserve(&ArenaLayout::default()).unwrap();
}

/// A block of a ramp holds the pooled vector in shared memory, and cards differ in how much there
/// is.
#[test]
fn a_ramp_too_wide_for_the_card_is_refused_and_the_device_goes_on() {
    machine::driver();
    let most = gpus().unwrap()[0].block_shared_bytes;
    let suite = machine::suite(machine::f16);
    let mut start = Start::new(&[1]);
    start.layout.features_max = most / 4;
    let ramp = |start: &mut Start, width: usize| {
        let (weight, bias) = (start.matrix(2, width), start.vector(2));
        let head = Some(RampHead { weight, bias, classes: 2, decision: Decision::Class });
        let (exit, x, tokens) = (ExitId(0), start.span(width), RowTokens::Own);
        Op::from(Ramp { exit, x, tokens, width, norm: None, pool: Pool::First, hidden: None, head })
    };
    let (wide, narrow) = (ramp(&mut start, most / 4), ramp(&mut start, 64));
    let mut stage = start.begin(&suite);
    let bound = LiveBound { rows: 1, tokens: 1 };
    let error = stage.device.issue(&wide, bound).unwrap_err().to_string();
    assert!(error.starts_with("ramp: expected at most"), "{error}");
    stage.device.issue(&narrow, bound).unwrap();
    stage.device.finish().unwrap();
}
