//! Watches a model's sites over many inputs and trains a ramp on each.

use offramp::plan::RampShape;
use offramp::scores::probabilities_into;
use offramp::{
    AfterExit, Answer, Batch, Decision, Engine, EngineOptions, Exits, Model, PassSettings, Pool,
    Row, RowSlot, Score,
};
use offramp_weights::{Activation, Dense, Ramp, RampBundle, SiteNotes, Task, TrainingNotes};

use crate::error::{Error, Result};
use crate::problem::{Features, Settings, Targets};
use crate::train::{Epoch, Trained, train};
use crate::{Layer, Split};

/// Most bytes of features held at a time; more sites than fit are watched in another round of
/// forwards.
const FEATURE_BYTES_MAX: usize = 1 << 30;

/// How to train the ramps of a model.
#[derive(Clone, Debug)]
pub struct RampOptions {
    /// How ramps pool.
    pub pool: Pool,
    /// Share of the inputs that is held out, to stop, calibrate and report on.
    pub held_out: f64,
    /// How each ramp is trained.
    pub settings: Settings,
    /// Where the forwards run.
    pub engine: EngineOptions,
}

impl Default for RampOptions {
    fn default() -> Self {
        Self {
            pool: Pool::Mean,
            held_out: 0.2,
            settings: Settings::default(),
            engine: EngineOptions::default(),
        }
    }
}

/// How far training has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Rows that have run through the model, of how many.
    Watched {
        /// Rows done.
        rows: usize,
        /// Rows in all, over all rounds.
        of: usize,
    },
    /// An epoch of the ramp at a site.
    Epoch {
        /// Site.
        site: usize,
        /// Outcome.
        epoch: Epoch,
    },
    /// The ramp of a site is done.
    Site {
        /// Site.
        site: usize,
        /// Its held-out agreement.
        agreement: f64,
    },
}

/// What training gives.
#[derive(Clone, Debug)]
pub struct TrainedRamps {
    /// One ramp per site, ready to be written.
    pub bundle: RampBundle,
    /// Rows the ramps have not learnt from, by index into the inputs.
    pub held_out: Vec<u32>,
}

/// Trains a ramp on every site of `model` from `rows`, which need no labels.
///
/// # Errors
/// The model has no classifier or only one layer; a row does not fit the model; too few rows;
/// features that are not finite; a regression whose numbers are all alike by their sigmoids.
pub fn train_ramps(
    model: &Model,
    rows: &[Row],
    options: &RampOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<TrainedRamps> {
    model.expect_classifier()?;
    let spec = model.spec();
    let sites: Vec<usize> = (0..spec.sites().saturating_sub(1)).collect();
    if sites.is_empty() {
        return Err(Error::unfit(model, "one segment has no site for a ramp".to_owned()));
    }
    let split = Split::shuffled(rows.len() as u32, options.held_out, options.settings.seed);
    let widest = sites.iter().map(|&site| spec.site_width(site)).max().unwrap_or(1);
    let round = (FEATURE_BYTES_MAX / (4 * widest * rows.len().max(1))).max(1);
    let rounds = sites.len().div_ceil(round);
    let mut trained = Vec::new();
    for (index, group) in sites.chunks(round).enumerate() {
        let of = rounds * rows.len();
        let watched = watch(model, rows, group, options, &mut |rows_done| {
            progress(Progress::Watched { rows: index * rows.len() + rows_done, of });
        })?;
        watched.expect_steep(model)?;
        for (place, &site) in group.iter().enumerate() {
            let ramp = watched.train(place, site, &split, &options.settings, progress)?;
            progress(Progress::Site { site, agreement: ramp.agreement });
            trained.push((site, ramp));
        }
    }
    let notes = notes(&trained, &split);
    let ramps = trained.into_iter().map(|(site, ramp)| bundled(site, ramp, options.pool)).collect();
    let (model, classes, task) = (model.hash(), spec.classes(), spec.task());
    let bundle = RampBundle { model, classes, task, ramps, trained: notes };
    Ok(TrainedRamps { bundle, held_out: split.held_out })
}

/// Features of some sites over all inputs, and the full model's soft answers.
struct Watched {
    classes: usize,
    /// By place in the group: `[rows, width]`.
    features: Vec<Vec<f32>>,
    /// By place in the group.
    widths: Vec<usize>,
    /// `[rows, classes]`.
    probabilities: Vec<f32>,
    decision: Decision,
}

impl Watched {
    fn train(
        &self,
        place: usize,
        site: usize,
        split: &Split,
        settings: &Settings,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Trained> {
        let features = Features { width: self.widths[place], values: &self.features[place] };
        let Self { classes, decision, .. } = *self;
        let targets = Targets { classes, probabilities: &self.probabilities, decision };
        train(features, targets, split, settings, &mut |epoch| {
            progress(Progress::Epoch { site, epoch });
        })
        .map_err(|source| Error::Ramp { site, source })
    }

    /// Fails where the numbers of a regression lie so far from 0 that their sigmoids hardly differ:
    /// any answer would agree with any other, and a promise would say nothing. A reranker that
    /// finds nothing relevant is another matter: its sigmoid is what it was made for.
    fn expect_steep(&self, model: &Model) -> Result<()> {
        let Decision::Value { tolerance } = self.decision else { return Ok(()) };
        let is_flat = |p: &&f32| **p < tolerance || **p > 1.0 - tolerance;
        let (rows, flat) =
            (self.probabilities.len(), self.probabilities.iter().filter(is_flat).count());
        if model.task() != Task::Value || 2 * flat <= rows {
            return Ok(());
        }
        Err(Error::unfit(
            model,
            format!(
                "{flat} of {rows} inputs give a number whose sigmoid is within {tolerance} of 0 or \
                 1: there all answers are alike, so no promise about early ones means anything; \
                 run it without exits, or name a smaller tolerance"
            ),
        ))
    }

    fn take(&mut self, engine: &Engine, rows: usize) {
        for slot in (0..rows as u32).map(RowSlot) {
            for (exit, features) in self.features.iter_mut().enumerate() {
                features.extend_from_slice(engine.logits(exit, slot));
            }
            let logits = engine.logits(self.features.len(), slot);
            probabilities_into(engine.decision(), logits, &mut self.probabilities);
        }
    }
}

fn watch(
    model: &Model,
    rows: &[Row],
    sites: &[usize],
    options: &RampOptions,
    progress: &mut dyn FnMut(usize),
) -> Result<Watched> {
    let shape = |&site: &usize| RampShape { site, pool: options.pool, hidden: None, classes: None };
    let shapes: Vec<RampShape> = sites.iter().map(shape).collect();
    let mut engine = Engine::with_ramps(model, &shapes, &options.engine)?;
    let exits = Exits::watching(engine.plan(), Score::Confidence);
    let mut watched = Watched {
        classes: model.spec().classes(),
        widths: sites.iter().map(|&site| model.spec().site_width(site)).collect(),
        features: vec![Vec::new(); sites.len()],
        probabilities: Vec::new(),
        decision: engine.decision(),
    };
    for_each_batch(&mut engine, rows, |engine, batch, next, done| {
        let settings = PassSettings { next, ..PassSettings::new(&exits, AfterExit::Release) };
        engine.run(batch, &settings, &mut |_: Answer<'_>| {})?;
        watched.take(engine, batch.rows());
        progress(done);
        Ok(())
    })?;
    Ok(watched)
}

/// Runs `each` over `rows` in batches as large as the engine takes, with the batch after it and the
/// rows done so far.
pub(crate) fn for_each_batch(
    engine: &mut Engine,
    rows: &[Row],
    mut each: impl FnMut(&mut Engine, &Batch, Option<&Batch>, usize) -> Result<()>,
) -> Result<()> {
    let mut full = engine.batch();
    let mut batch = engine.batch();
    for (index, row) in rows.iter().enumerate() {
        let unfit = |source| Error::Input { index, source };
        if batch.push_row(row).map_err(unfit)?.is_none() {
            if !full.is_empty() {
                each(engine, &full, Some(&batch), index - batch.rows())?;
            }
            std::mem::swap(&mut full, &mut batch);
            batch.clear();
            batch.push_row(row).map_err(unfit)?;
        }
    }
    if !full.is_empty() {
        each(engine, &full, Some(&batch), rows.len() - batch.rows())?;
    }
    if batch.is_empty() { Ok(()) } else { each(engine, &batch, None, rows.len()) }
}

fn notes(trained: &[(usize, Trained)], split: &Split) -> TrainingNotes {
    let note = |(site, ramp): &(usize, Trained)| SiteNotes {
        site: *site,
        agreement: ramp.agreement,
        temperature: f64::from(ramp.temperature),
    };
    TrainingNotes {
        inputs: split.train.len(),
        held_out: split.held_out.len(),
        sites: trained.iter().map(note).collect(),
    }
}

fn bundled(site: usize, trained: Trained, pool: Pool) -> Ramp {
    let pool = match pool {
        Pool::First => offramp_weights::Pool::First,
        Pool::Mean => offramp_weights::Pool::Mean,
        Pool::Last => offramp_weights::Pool::Last,
    };
    let hidden = trained.hidden.map(|layer| (dense(layer), Activation::Relu));
    Ramp { site, pool, hidden, head: dense(trained.head) }
}

fn dense(layer: Layer) -> Dense {
    let Layer { outputs, inputs, weight, bias } = layer;
    Dense { outputs, inputs, weight, bias }
}
