//! Whole forwards of random-weight models, from the start of a pass until its end on the host's
//! clock, upload of the rows included.

use std::time::Instant;

use offramp::{
    AfterExit, Answer, Batch, DeviceChoice, Engine, EngineOptions, Exits, Limits, Model,
    PassSettings, RowRules, Score, Shape,
};
use offramp_benches::random_ramps;
use serde::Serialize;

use crate::check::{distance, expect_close};
use crate::profile::Profile;
use crate::samples::Quantiles;
use crate::settings::{NamedModel, Settings};
use crate::{Result, note};

/// Largest relative error of a model's logits against the CPU's: rounding adds up over layers.
const TOLERANCE_FACTOR: f64 = 10.0;

/// Exits and what becomes of answered rows.
const VARIANTS: [(Profile, AfterExit); 5] = [
    (Profile::Off, AfterExit::Release),
    (Profile::Uniform, AfterExit::Release),
    (Profile::Uniform, AfterExit::Compact),
    (Profile::Easy, AfterExit::Release),
    (Profile::Easy, AfterExit::Compact),
];

/// One variant of a forward at one shape.
#[derive(Debug, Serialize)]
pub(crate) struct ForwardTime {
    pub(crate) model: &'static str,
    pub(crate) rows: usize,
    pub(crate) row_tokens: usize,
    pub(crate) exits: &'static str,
    pub(crate) after_exit: &'static str,
    pub(crate) runs: usize,
    pub(crate) pass_ms: Quantiles,
    /// From the start of the pass until the host has its first answer.
    pub(crate) first_answer_ms: Quantiles,
    /// Mean over rows of the time until the host has the row's answer.
    pub(crate) mean_answer_ms: Quantiles,
}

/// Every variant at every shape.
pub(crate) fn measure(settings: &Settings, model: &NamedModel) -> Result<Vec<ForwardTime>> {
    let folder = tempfile::tempdir()?;
    note(format_args!("{}: writing random weights", model.name));
    model.size.write(folder.path(), 1)?;
    let mut checkpoint = Model::open(folder.path())?;
    checkpoint.set_ramps(Some(random_ramps(&checkpoint)));
    let mut engine = Engine::new(&checkpoint, &options(settings, settings.device_choice()))?;
    check(settings, &checkpoint, &mut engine)?;
    let mut times = Vec::new();
    for &shape in &settings.shapes {
        let batch = batch(&engine, shape)?;
        for variant in VARIANTS {
            times.push(one(settings, model, &mut engine, &batch, shape, variant)?);
        }
    }
    Ok(times)
}

fn options(settings: &Settings, device: DeviceChoice) -> EngineOptions {
    let tokens = |shape: &Shape| shape.rows * shape.tokens;
    let limits = Limits {
        rows_max: settings.shapes.iter().map(|shape| shape.rows).max().unwrap_or(1),
        tokens_max: settings.shapes.iter().map(tokens).max().unwrap_or(1),
    };
    EngineOptions { device, limits, precision: settings.precision, ..EngineOptions::default() }
}

/// The logits of the smallest batch against the CPU's.
fn check(settings: &Settings, model: &Model, engine: &mut Engine) -> Result<()> {
    let Some(&shape) = settings.shapes.iter().min_by_key(|shape| shape.rows) else {
        return Ok(());
    };
    let mut cpu = Engine::new(model, &options(settings, DeviceChoice::Cpu))?;
    let error = distance(&logits(engine, shape)?, &logits(&mut cpu, shape)?);
    expect_close("logits", error, TOLERANCE_FACTOR * settings.tolerance())?;
    note(format_args!("logits: relative error {error:.1e} against the CPU's"));
    Ok(())
}

fn logits(engine: &mut Engine, shape: Shape) -> Result<Vec<f32>> {
    let batch = batch(engine, shape)?;
    let exits = Exits::off(engine.plan());
    let mut by_slot = vec![Vec::new(); shape.rows];
    let mut sink = |answer: Answer<'_>| by_slot[answer.slot.0 as usize] = answer.logits.to_vec();
    engine.run(&batch, &PassSettings::new(&exits, AfterExit::Release), &mut sink)?;
    Ok(by_slot.concat())
}

/// Random rows without padding.
fn batch(engine: &Engine, shape: Shape) -> Result<Batch> {
    let mut random = fastrand::Rng::with_seed(shape.rows as u64);
    let RowRules::Text(rules) = engine.rules() else { panic!("a text model") };
    let vocab = rules.vocab as u32;
    let mut batch = engine.batch();
    for _ in 0..shape.rows {
        let ids: Vec<u32> = (0..shape.tokens).map(|_| random.u32(0..vocab)).collect();
        batch.push(&ids, &[])?.ok_or("a batch that takes all rows")?;
    }
    Ok(batch)
}

fn one(
    settings: &Settings,
    model: &NamedModel,
    engine: &mut Engine,
    batch: &Batch,
    shape: Shape,
    (profile, after_exit): (Profile, AfterExit),
) -> Result<ForwardTime> {
    let exits = match profile {
        Profile::Off => Exits::off(engine.plan()),
        _ => Exits::watching(engine.plan(), Score::Confidence),
    };
    let windows = profile.windows(engine.plan().ramps(), shape.rows);
    let pass = PassSettings { windows: &windows, ..PassSettings::new(&exits, after_exit) };
    for _ in 0..settings.warm_ups {
        run(engine, batch, &pass)?;
    }
    let runs: Result<Vec<Run>> = (0..settings.runs).map(|_| run(engine, batch, &pass)).collect();
    let runs = runs?;
    let quantiles = |of: fn(&Run) -> f64| Quantiles::of(runs.iter().map(of).collect());
    let time = ForwardTime {
        model: model.name,
        rows: shape.rows,
        row_tokens: shape.tokens,
        exits: profile.name(),
        after_exit: name(after_exit),
        runs: settings.runs,
        pass_ms: quantiles(|run| run.pass_ms),
        first_answer_ms: quantiles(|run| run.first_answer_ms),
        mean_answer_ms: quantiles(|run| run.mean_answer_ms),
    };
    let ForwardTime { model, rows, exits, after_exit, pass_ms, .. } = &time;
    let ms = pass_ms.p50;
    note(format_args!("{model} forward, {rows} rows, exits {exits} {after_exit}: {ms:.3} ms"));
    Ok(time)
}

fn name(after_exit: AfterExit) -> &'static str {
    match after_exit {
        AfterExit::Release => "release",
        AfterExit::Compact => "compact",
    }
}

/// One pass.
struct Run {
    pass_ms: f64,
    first_answer_ms: f64,
    mean_answer_ms: f64,
}

/// Fails unless every row has a finite answer.
fn run(engine: &mut Engine, batch: &Batch, settings: &PassSettings<'_>) -> Result<Run> {
    let (mut answered, mut sum_ms, mut first_answer_ms) = (0, 0.0, f64::INFINITY);
    let started = Instant::now();
    let elapsed_ms = || started.elapsed().as_secs_f64() * 1e3;
    let mut sink = |answer: Answer<'_>| {
        let now_ms = elapsed_ms();
        answered += usize::from(answer.is_finite);
        first_answer_ms = now_ms.min(first_answer_ms);
        sum_ms += now_ms;
    };
    engine.run(batch, settings, &mut sink)?;
    let pass_ms = elapsed_ms();
    if answered != batch.rows() {
        return Err(format!("{answered} finite answers to {} rows", batch.rows()).into());
    }
    Ok(Run { pass_ms, first_answer_ms, mean_answer_ms: sum_ms / answered as f64 })
}
