//! From a ramp's issue on an idle device until the host holds all its answers.

use std::time::{Duration, Instant};

use offramp::Shape;
use offramp_kernels::Device;
use offramp_kernels::cuda::CudaDevice;
use offramp_tests::models::BertSize;

use crate::case::Case;
use crate::pass::Pass;
use crate::place::Place;
use crate::record::Recorder;
use crate::results::AnswerTime;
use crate::samples::Quantiles;
use crate::settings::{NamedModel, Settings};
use crate::task::Task;
use crate::{Result, note};

/// A ramp that takes longer is lost.
const LATEST: Duration = Duration::from_secs(60);

/// A ramp at every shape.
pub(crate) fn measure(
    settings: &Settings,
    model: &NamedModel,
    size: &BertSize,
    recorder: &mut Recorder,
) -> Result<()> {
    let device = CudaDevice::new(settings.device, settings.elem()).map_err(Into::into);
    let Some(mut device) = recorder.opened(Place::of(model, "answers"), device)? else {
        return Ok(());
    };
    for shape in settings.shapes_of(model) {
        let place = Place::at(model, shape, "answers".to_owned());
        let time = one(settings, model.name, size, shape, &mut device);
        recorder.take(place, time, |report| &mut report.answers)?;
    }
    Ok(())
}

fn one(
    settings: &Settings,
    model: &'static str,
    size: &BertSize,
    shape: Shape,
    device: &mut CudaDevice,
) -> Result<AnswerTime> {
    let case = Case::new(Task::Ramp, size, shape, 0, 1);
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
    note(format_args!("{model} answers, {rows} rows: {p50:.1} us"));
    Ok(AnswerTime { model, rows, row_tokens, issue_to_last_answer_us })
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
