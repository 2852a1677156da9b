//! From a ramp's issue on an idle device until the host holds all its answers.

use std::time::{Duration, Instant};

use offramp::Shape;
use offramp_kernels::Device;
use offramp_kernels::cuda::CudaDevice;
use serde::Serialize;

use crate::case::Case;
use crate::pass::Pass;
use crate::samples::Quantiles;
use crate::settings::{NamedModel, Settings};
use crate::task::Task;
use crate::{Result, note};

/// A ramp that takes longer is lost.
const LATEST: Duration = Duration::from_secs(60);

/// A ramp's way to the host.
#[derive(Debug, Serialize)]
pub(crate) struct AnswerTime {
    pub(crate) model: &'static str,
    pub(crate) rows: usize,
    pub(crate) row_tokens: usize,
    pub(crate) issue_to_last_answer_us: Quantiles,
}

/// A ramp at every shape.
pub(crate) fn measure(settings: &Settings, model: &NamedModel) -> Result<Vec<AnswerTime>> {
    let mut device = CudaDevice::new(settings.device, settings.elem())?;
    let shapes = settings.shapes.iter();
    shapes.map(|&shape| one(settings, model, shape, &mut device)).collect()
}

fn one(
    settings: &Settings,
    model: &NamedModel,
    shape: Shape,
    device: &mut CudaDevice,
) -> Result<AnswerTime> {
    let case = Case::new(Task::Ramp, &model.size, shape, 0, 1);
    case.operands.load(device, settings.precision)?;
    let pass = Pass::new(&case);
    pass.begin(device)?;
    case.operands.write(device, settings.precision)?;
    for _ in 0..settings.warm_ups {
        run_us(&case, &pass, device)?;
    }
    let samples: Result<Vec<f64>> =
        (0..settings.runs).map(|_| run_us(&case, &pass, device)).collect();
    let issue_to_last_answer_us = Quantiles::of(samples?);
    let (rows, row_tokens) = (shape.rows, shape.tokens);
    let Quantiles { p50, .. } = issue_to_last_answer_us;
    note(format_args!("{} answers, {rows} rows: {p50:.1} us", model.name));
    Ok(AnswerTime { model: model.name, rows, row_tokens, issue_to_last_answer_us })
}

fn run_us(case: &Case, pass: &Pass, device: &mut CudaDevice) -> Result<f64> {
    pass.begin(device)?;
    device.finish()?;
    let rows = case.shape.rows;
    let mut records = Vec::with_capacity(rows);
    let started = Instant::now();
    device.issue(&case.ops[0], case.bound())?;
    while records.len() < rows {
        device.exits(&mut records)?;
        if started.elapsed() > LATEST {
            let found = records.len();
            return Err(format!("{found} of {rows} answers after {LATEST:?}").into());
        }
    }
    Ok(started.elapsed().as_secs_f64() * 1e6)
}
