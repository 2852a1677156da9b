//! A random-weight model on the device, and whether it says what it should.

use offramp::{
    AfterExit, Answer, Batch, DeviceChoice, Engine, EngineOptions, Exits, Limits, Model,
    PassSettings, Row, Shape,
};
use offramp_benches::random_ramps;

use crate::check::{distance, expect_close};
use crate::place::Place;
use crate::record::Recorder;
use crate::results::Agreement;
use crate::settings::{NamedModel, Settings};
use crate::{Result, note};

/// Largest relative error of a model's logits against the CPU's: rounding adds up over layers.
const TOLERANCE_FACTOR: f64 = 10.0;

/// A model on the device.
pub(crate) struct Subject {
    pub(crate) named: NamedModel,
    pub(crate) engine: Engine,
    model: Model,
    /// Holds the checkpoint.
    _folder: tempfile::TempDir,
}

impl Subject {
    pub(crate) fn start(settings: &Settings, named: &NamedModel) -> Result<Self> {
        Self::open(settings, named, true)
    }

    pub(crate) fn without_ramps(settings: &Settings, named: &NamedModel) -> Result<Self> {
        Self::open(settings, named, false)
    }

    /// Writes the checkpoint and opens it.
    fn open(settings: &Settings, named: &NamedModel, has_ramps: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        note(format_args!("{}: writing random weights", named.name));
        named.kind.write(folder.path(), 1)?;
        let mut model = Model::open(folder.path())?;
        model.set_ramps(has_ramps.then(|| random_ramps(&model)));
        let shapes = settings.shapes_of(named);
        let engine = Engine::new(&model, &options(settings, settings.device_choice(), &shapes))?;
        Ok(Self { named: *named, engine, model, _folder: folder })
    }

    /// Random rows without padding: a row is the same in every batch.
    pub(crate) fn batch(&self, shape: Shape) -> Result<Batch> {
        filled(&self.engine, &rows(&self.engine, shape))
    }

    /// The same with the rows in the other order: another batch.
    pub(crate) fn other_batch(&self, shape: Shape) -> Result<Batch> {
        let mut rows = rows(&self.engine, shape);
        rows.reverse();
        filled(&self.engine, &rows)
    }

    /// The smallest batch against the CPU; rows of the largest against themselves alone.
    pub(crate) fn check(&mut self, settings: &Settings, recorder: &mut Recorder) -> Result<()> {
        let shapes = settings.shapes_of(&self.named);
        let most = TOLERANCE_FACTOR * settings.tolerance();
        if let Some(&shape) = shapes.iter().min_by_key(|shape| shape.rows) {
            let error = self.error_to_cpu(settings, shape);
            self.record("the CPU", shape, error, most, recorder)?;
        }
        if let Some(&shape) = shapes.iter().max_by_key(|shape| shape.rows) {
            let error = self.error_to_alone(shape);
            self.record("rows alone", shape, error, most, recorder)?;
        }
        Ok(())
    }

    fn record(
        &self,
        against: &'static str,
        shape: Shape,
        error: Result<f64>,
        most: f64,
        recorder: &mut Recorder,
    ) -> Result<()> {
        let place = Place::at(&self.named, shape, format!("logits against {against}"));
        let Shape { rows, tokens: row_tokens } = shape;
        let agreement = error.map(|relative_error| {
            note(format_args!("{place}: relative error {relative_error:.1e}"));
            Agreement { model: self.named.name, rows, row_tokens, against, relative_error }
        });
        let check = |found: &Agreement| expect_close("logits", found.relative_error, most);
        recorder.take_checked(place, agreement, check, |report| &mut report.agreements)
    }

    fn error_to_cpu(&mut self, settings: &Settings, shape: Shape) -> Result<f64> {
        let options = options(settings, DeviceChoice::Cpu, &[shape]);
        let mut cpu = Engine::new(&self.model, &options)?;
        let rows = rows(&self.engine, shape);
        let found = logits(&mut self.engine, &rows)?.concat();
        Ok(distance(&found, &logits(&mut cpu, &rows)?.concat()))
    }

    /// The first row, the last and one between: wide tiles against small ones, sums in one piece
    /// against sums in shares.
    fn error_to_alone(&mut self, shape: Shape) -> Result<f64> {
        let rows = rows(&self.engine, shape);
        let together = logits(&mut self.engine, &rows)?;
        let mut worst: f64 = 0.0;
        for at in [0, rows.len() / 2, rows.len() - 1] {
            let alone = logits(&mut self.engine, &rows[at..=at])?.concat();
            let error = distance(&together[at], &alone);
            // A NaN stays.
            worst = if error.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(error) };
        }
        Ok(worst)
    }
}

fn options(settings: &Settings, device: DeviceChoice, shapes: &[Shape]) -> EngineOptions {
    let tokens = |shape: &Shape| shape.rows * shape.tokens;
    let limits = Limits {
        rows_max: shapes.iter().map(|shape| shape.rows).max().unwrap_or(1),
        tokens_max: shapes.iter().map(tokens).max().unwrap_or(1),
    };
    EngineOptions { device, limits, precision: settings.precision, ..EngineOptions::default() }
}

fn rows(engine: &Engine, shape: Shape) -> Vec<Row> {
    (0..shape.rows).map(|row| engine.rules().random(shape.tokens, row as u64)).collect()
}

fn filled(engine: &Engine, rows: &[Row]) -> Result<Batch> {
    let mut batch = engine.batch();
    for row in rows {
        batch.push_row(row)?.ok_or("a batch that takes all rows")?;
    }
    Ok(batch)
}

/// Of every row at the final exit.
fn logits(engine: &mut Engine, rows: &[Row]) -> Result<Vec<Vec<f32>>> {
    let batch = filled(engine, rows)?;
    let exits = Exits::off(engine.plan());
    let mut by_slot = vec![Vec::new(); rows.len()];
    let mut sink = |answer: Answer<'_>| by_slot[answer.row] = answer.logits.to_vec();
    engine.run(&batch, &PassSettings::new(&exits, AfterExit::Release), &mut sink)?;
    Ok(by_slot)
}
