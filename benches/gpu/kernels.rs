//! One kernel at a time.
//!
//! The same op is issued over and over, its operands taking turns over more memory than the
//! caches hold, sent off in groups as the engine does; while the device works on one group, the
//! host prepares the next. What few ops take is subtracted from what many take, so that neither
//! the first group's preparation nor the final wait counts.

use std::time::Instant;

use offramp_kernels::cuda::CudaDevice;
use offramp_kernels::{Device, Op};
use offramp_tests::models::BertSize;

use crate::case::Case;
use crate::check::{ELEMENT_FACTOR, errors, expect_close};
use crate::pass::Pass;
use crate::place::Place;
use crate::record::Recorder;
use crate::results::KernelTime;
use crate::samples::Quantiles;
use crate::settings::{NamedModel, Settings};
use crate::task::Task;
use crate::{Result, note};

/// Groups of the longer run; the shorter one has one.
const GROUPS: usize = 5;

/// Every kernel at every shape. One that is not right is timed all the same.
pub(crate) fn measure(
    settings: &Settings,
    model: &NamedModel,
    size: &BertSize,
    recorder: &mut Recorder,
) -> Result<()> {
    let device = CudaDevice::new(settings.device, settings.elem()).map_err(Into::into);
    let Some(mut device) = recorder.opened(Place::of(model, "kernels"), device)? else {
        return Ok(());
    };
    for shape in settings.shapes_of(model) {
        for task in Task::ALL {
            let place = Place::at(model, shape, task.name().to_owned());
            let turns = GROUPS * settings.flush_ops;
            let cold_elements = settings.cold_bytes / settings.elem().bytes();
            let case = Case::new(task, size, shape, cold_elements, turns);
            let time = one(settings, model.name, task, &case, &mut device);
            if let Ok(KernelTime { time_us, tflops, relative_error: error, .. }) = &time {
                let us = time_us.p50;
                note(format_args!("{place}: {us:.2} us, {tflops:.1} TFLOP/s, error {error:.1e}"));
            }
            let check = |time: &KernelTime| time.is_close(settings);
            recorder.take_checked(place, time, check, |report| &mut report.kernels)?;
        }
    }
    Ok(())
}

impl KernelTime {
    /// Fails where the result is not the CPU's.
    fn is_close(&self, settings: &Settings) -> Result<()> {
        expect_close("all", self.relative_error, settings.tolerance())?;
        expect_close("an element", self.element_error, ELEMENT_FACTOR * settings.tolerance())
    }
}

fn one(
    settings: &Settings,
    model: &'static str,
    task: Task,
    case: &Case,
    device: &mut CudaDevice,
) -> Result<KernelTime> {
    case.operands.load(device, settings.precision)?;
    let errors = errors(task, case, device, settings)?;
    let time_us = time_us(settings, case, device)?;
    let (n, k) = match &case.ops[0] {
        Op::Linear(op) => (Some(op.n), Some(op.k)),
        _ => (None, None),
    };
    let element_bytes = settings.elem().bytes();
    let cost = case.ops[0].cost(case.bound());
    Ok(KernelTime {
        model,
        kernel: task.name(),
        rows: case.shape.rows,
        row_tokens: case.shape.tokens,
        n,
        k,
        time_us,
        tflops: cost.flops / time_us.p50 / 1e6,
        // Counted at 4 bytes an element, however it is stored.
        gbytes_per_s: cost.bytes / 4.0 * element_bytes as f64 / time_us.p50 / 1e3,
        relative_error: errors.all,
        element_error: errors.element,
        set_bytes: case.set_elements * element_bytes,
        sets: case.sets,
    })
}

fn time_us(settings: &Settings, case: &Case, device: &mut CudaDevice) -> Result<Quantiles> {
    let pass = Pass::new(case);
    let (few, many) = (settings.flush_ops, case.ops.len());
    let mut samples = Vec::with_capacity(settings.kernel_runs);
    for run in 0..settings.warm_ups + settings.kernel_runs {
        let few_us = run_us(settings, case, &pass, device, few)?;
        let many_us = run_us(settings, case, &pass, device, many)?;
        if run >= settings.warm_ups {
            samples.push((many_us - few_us) / (many - few) as f64);
        }
    }
    Ok(Quantiles::of(samples))
}

/// The first `count` ops of a pass, from the first issue to the end of the last.
fn run_us(
    settings: &Settings,
    case: &Case,
    pass: &Pass,
    device: &mut CudaDevice,
    count: usize,
) -> Result<f64> {
    pass.begin(device)?;
    for op in case.needed() {
        device.issue(op, case.bound())?;
    }
    device.finish()?;
    let mut records = Vec::with_capacity(case.shape.rows * count);
    let started = Instant::now();
    for group in case.ops[..count].chunks(settings.flush_ops) {
        for op in group {
            device.issue(op, case.bound())?;
        }
        device.exits(&mut records)?;
    }
    device.finish()?;
    Ok(started.elapsed().as_secs_f64() * 1e6)
}
