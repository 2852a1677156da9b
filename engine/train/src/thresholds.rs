//! Fits thresholds to a model's ramps, as the device runs them.

use offramp::{
    AfterExit, Answer, Decision, Engine, EngineOptions, Exits, Model, Observation, PassSettings,
    Row, Sink, score_of,
};
use offramp_tune::{Fitted, Goal, Window, fit, fit_tested};
use offramp_weights::{FittedOn, Policy, SiteThreshold, Task, ThresholdFile};

use crate::error::{Error, Result};
use crate::probe::for_each_batch;

/// What thresholds are fitted for.
#[derive(Clone, Debug)]
pub struct FitOptions {
    /// How ramps score.
    pub policy: Policy,
    /// Agreement and confidence to reach.
    pub goal: Goal,
    /// Where the forwards run.
    pub engine: EngineOptions,
}

/// Runs `rows` through `model` with every ramp watching, and chooses the thresholds that let rows
/// leave earliest within the goal. With a confidence they are chosen on one half of the rows and
/// tested on the other, so that the promise holds for rows never seen.
///
/// # Errors
/// The model has no ramps; a row does not fit it; the device failed.
pub fn fit_thresholds(
    model: &Model,
    rows: &[Row],
    options: &FitOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<(ThresholdFile, Fitted)> {
    let ramps = model.ramps().ok_or_else(|| {
        Error::unfit(model, "no ramps to fit thresholds for: run train-ramps first".to_owned())
    })?;
    let mut engine = Engine::new(model, &options.engine)?;
    let mut watcher = Watcher::default();
    let exits = Exits::watching(engine.plan(), score_of(options.policy));
    exits.check(engine.plan())?;
    for_each_batch(&mut engine, rows, |engine, batch, next, done| {
        let settings = PassSettings { next, ..PassSettings::new(&exits, AfterExit::Release) };
        engine.run(batch, &settings, &mut watcher)?;
        progress(done);
        Ok(())
    })?;
    let window = watcher.window(&engine)?;
    let fitted = match options.goal.confidence {
        Some(_) => fit_tested(&window, &options.goal, options.engine.seed),
        None => fit(&window, &options.goal),
    };
    let fitted_on = FittedOn { model: model.hash(), ramps: ramps.hash() };
    let sites = engine.plan().ramp_sites().collect::<Vec<_>>();
    let made = file(&fitted, fitted_on, &sites, rows.len(), options);
    let tolerance = match engine.decision() {
        Decision::Value { tolerance } => Some(tolerance),
        Decision::Class | Decision::Labels => None,
    };
    Ok((ThresholdFile { task: model.task(), tolerance, ..made }, fitted))
}

/// Collects what every ramp said about every row.
#[derive(Default)]
struct Watcher {
    scores: Vec<f32>,
    labels: Vec<u32>,
    final_labels: Vec<u32>,
}

impl Watcher {
    fn window(self, engine: &Engine) -> Result<Window> {
        let mut depths = engine.plan().depths();
        depths.pop();
        let decision = engine.decision();
        Ok(Window::deciding(decision, depths, &self.scores, &self.labels, &self.final_labels)?)
    }
}

impl Sink for Watcher {
    fn answer(&mut self, _: Answer<'_>) {}

    /// A row whose logits were not finite teaches nothing.
    fn observe(&mut self, observation: Observation<'_>) {
        let Some(final_label) = observation.final_label else { return };
        self.scores.extend(observation.seen.iter().map(|seen| seen.score));
        self.labels.extend(observation.seen.iter().map(|seen| seen.label));
        self.final_labels.push(final_label);
    }
}

fn file(
    fitted: &Fitted,
    fitted_on: FittedOn,
    sites: &[usize],
    rows: usize,
    options: &FitOptions,
) -> ThresholdFile {
    let pairs = sites.iter().zip(&fitted.thresholds);
    ThresholdFile {
        policy: options.policy,
        fitted_on,
        task: Task::Classes,
        tolerance: None,
        target_agreement: options.goal.agreement,
        confidence: options.goal.confidence,
        calibration_rows: rows,
        agreement: fitted.agreement,
        mean_depth: fitted.mean_depth,
        thresholds: pairs.map(|(&site, &threshold)| SiteThreshold { site, threshold }).collect(),
    }
}
