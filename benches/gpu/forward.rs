//! Whole forwards of random-weight models: from the start of a pass until its end on the host's
//! clock, upload of the rows included; and without it, on the device's own clock.

use std::time::Instant;

use offramp::{
    AfterExit, Answer, Batch, Engine, Exits, Packing, PassReport, PassSettings, Score, Shape,
};

use crate::place::Place;
use crate::profile::Profile;
use crate::record::Recorder;
use crate::results::ForwardTime;
use crate::samples::Quantiles;
use crate::settings::{NamedModel, Settings};
use crate::subject::Subject;
use crate::{Result, note};

/// Exits, and what becomes of answered rows.
#[derive(Clone, Copy)]
struct Variant {
    profile: Profile,
    after_exit: AfterExit,
    packing: Packing,
    /// Whether each pass knows the next batch, whose images go over meanwhile.
    knows_next: bool,
}

impl Variant {
    const fn release(profile: Profile) -> Self {
        let (after_exit, packing) = (AfterExit::Release, Packing::Auto);
        Self { profile, after_exit, packing, knows_next: false }
    }

    const fn compact(profile: Profile, packing: Packing) -> Self {
        Self { profile, after_exit: AfterExit::Compact, packing, knows_next: false }
    }

    const ALL: [Self; 10] = [
        Self::release(Profile::Off),
        Self { knows_next: true, ..Self::release(Profile::Off) },
        Self::release(Profile::Uniform),
        Self::compact(Profile::Uniform, Packing::Auto),
        Self::compact(Profile::Uniform, Packing::Always),
        Self::compact(Profile::Uniform, Packing::Never),
        Self::release(Profile::Easy),
        Self::compact(Profile::Easy, Packing::Auto),
        Self::compact(Profile::Easy, Packing::Always),
        Self::compact(Profile::Easy, Packing::Never),
    ];

    /// `release`, `compact` by the engine's own judgement, or packing by force; `next` where
    /// passes know the batch that follows.
    fn way(self) -> &'static str {
        match (self.after_exit, self.packing) {
            (AfterExit::Release, _) if self.knows_next => "next",
            (AfterExit::Release, _) => "release",
            (_, Packing::Auto) => "compact",
            (_, Packing::Always) => "compact always",
            (_, Packing::Never) => "compact never",
        }
    }
}

/// Every variant at every shape, once what the model says has been checked.
pub(crate) fn measure(
    settings: &Settings,
    model: &NamedModel,
    recorder: &mut Recorder,
) -> Result<()> {
    let subject = Subject::start(settings, model);
    let Some(mut subject) = recorder.opened(Place::of(model, "start"), subject)? else {
        return Ok(());
    };
    subject.check(settings, recorder)?;
    let gains = subject.engine.gains_from_next();
    for shape in settings.shapes_of(model) {
        for variant in Variant::ALL.into_iter().filter(|variant| gains || !variant.knows_next) {
            let place = Place::at(model, shape, format!("{} {}", variant.profile, variant.way()));
            let time = time(settings, &mut subject, shape, variant);
            if let Ok(ForwardTime { pass_ms, device_ms, .. }) = &time {
                let both = format!("{:.3} ms, device {:.3} ms", pass_ms.p50, device_ms.p50);
                note(format_args!("{place}: {both}"));
            }
            recorder.take(place, time, |report| &mut report.forwards)?;
        }
    }
    Ok(())
}

/// One pass without ramps a shape. Where there is room for two rows, the engine has made a pass by
/// itself before.
pub(crate) fn once(settings: &Settings, model: &NamedModel) -> Result<()> {
    let mut subject = Subject::without_ramps(settings, model)?;
    for shape in settings.shapes_of(model) {
        let batch = subject.batch(shape)?;
        let exits = Exits::off(subject.engine.plan());
        run(&mut subject.engine, &batch, &PassSettings::new(&exits, AfterExit::Release))?;
        note(format_args!("{} {} x {}: one pass", model.name, shape.rows, shape.tokens));
    }
    Ok(())
}

fn time(
    settings: &Settings,
    subject: &mut Subject,
    shape: Shape,
    variant: Variant,
) -> Result<ForwardTime> {
    let mut batches = vec![subject.batch(shape)?];
    if variant.knows_next {
        batches.push(subject.other_batch(shape)?);
    }
    let engine = &mut subject.engine;
    let exits = match variant.profile {
        Profile::Off => Exits::off(engine.plan()),
        _ => Exits::watching(engine.plan(), Score::Confidence),
    };
    let windows = variant.profile.windows(engine.plan().ramps(), shape.rows);
    let Variant { after_exit, packing, .. } = variant;
    let new = PassSettings::new(&exits, after_exit);
    let pass = PassSettings { windows: &windows, packing, ..new };
    run_all(engine, &batches, &pass, settings.warm_ups)?;
    let runs = run_all(engine, &batches, &pass, settings.runs)?;
    engine.time_passes(true)?;
    let timed = run_all(engine, &batches, &pass, settings.device_runs);
    engine.time_passes(false)?;
    let device_ms = timed?.iter().map(|run| run.device_ms).collect();
    let quantiles = |of: fn(&Run) -> f64| Quantiles::of(runs.iter().map(of).collect());
    Ok(ForwardTime {
        model: subject.named.name,
        rows: shape.rows,
        row_tokens: shape.tokens,
        exits: variant.profile.name(),
        after_exit: variant.way(),
        runs: settings.runs,
        compactions: runs.last().map_or(0, |run| run.compactions),
        pass_ms: quantiles(|run| run.pass_ms),
        device_ms: Quantiles::of(device_ms),
        first_answer_ms: quantiles(|run| run.first_answer_ms),
        mean_answer_ms: quantiles(|run| run.mean_answer_ms),
    })
}

/// One pass.
struct Run {
    pass_ms: f64,
    /// NaN where the device took no time.
    device_ms: f64,
    first_answer_ms: f64,
    mean_answer_ms: f64,
    compactions: usize,
}

/// One batch over and over; or several in turn, each pass knowing the batch that follows.
fn run_all(
    engine: &mut Engine,
    batches: &[Batch],
    settings: &PassSettings<'_>,
    count: usize,
) -> Result<Vec<Run>> {
    let at = |index: usize| &batches[index % batches.len()];
    let one = |index: usize| {
        let next = (batches.len() > 1).then(|| at(index + 1));
        run(engine, at(index), &PassSettings { next, ..*settings })
    };
    (0..count).map(one).collect()
}

/// Fails unless every row has a finite answer.
fn run(engine: &mut Engine, batch: &Batch, settings: &PassSettings<'_>) -> Result<Run> {
    let mut answered = 0;
    let mut sum_ms = 0.0;
    let mut first_answer_ms = f64::INFINITY;
    let started = Instant::now();
    let elapsed_ms = || started.elapsed().as_secs_f64() * 1e3;
    let mut sink = |answer: Answer<'_>| {
        let now_ms = elapsed_ms();
        answered += usize::from(answer.is_finite);
        first_answer_ms = now_ms.min(first_answer_ms);
        sum_ms += now_ms;
    };
    let PassReport { device_elapsed, compactions, .. } = engine.run(batch, settings, &mut sink)?;
    let pass_ms = elapsed_ms();
    if answered != batch.rows() {
        return Err(format!("{answered} finite answers to {} rows", batch.rows()).into());
    }
    let device_ms = device_elapsed.map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    let mean_answer_ms = sum_ms / answered as f64;
    Ok(Run { pass_ms, device_ms, first_answer_ms, mean_answer_ms, compactions })
}
