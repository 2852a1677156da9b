//! A small model with random ramps, and a way to run rows through it.

use offramp::{
    AfterExit, Answer, Batch, Engine, EngineOptions, Exit, ExitWindow, Exits, Limits, Model,
    Observation, PassReport, PassSettings, Row, RowRules, Score, Seen, Sink, TokenRow,
};
use offramp_tests::models::{bundle, random_dense};
use offramp_tests::{golden_dir, golden_images_dir};
use offramp_weights::{Activation, Dense, Pool, Ramp};

use crate::machine;

/// A golden model of texts or of images.
pub(crate) fn golden(name: &str) -> Model {
    let dirs = [golden_dir(), golden_images_dir()].map(|dir| dir.join(name));
    Model::open(dirs.iter().find(|dir| dir.exists()).unwrap()).unwrap()
}

/// A golden model with a random ramp on every site: first and mean pooling, with and without a
/// hidden layer.
pub(crate) fn model_with_ramps(name: &str, seed: u64) -> Model {
    let mut model = golden(name);
    let mut rng = fastrand::Rng::with_seed(seed);
    let classes = model.spec().classes();
    let ramp = |site| ramp(site, model.spec().site_width(site), classes, &mut rng);
    let ramps = (0..model.spec().sites() - 1).map(ramp).collect();
    let bundle = bundle(&model, ramps);
    model.set_ramps(Some(bundle));
    model
}

fn ramp(site: usize, width: usize, classes: usize, rng: &mut fastrand::Rng) -> Ramp {
    let (pool, hidden) = match site % 2 {
        0 => (Pool::Mean, None),
        _ => (Pool::First, Some((random_dense(20, width, 1.0, rng), Activation::Relu))),
    };
    let features = hidden.as_ref().map_or(width, |(layer, _): &(Dense, _)| layer.outputs);
    Ramp { site, pool, hidden, head: random_dense(classes, features, 1.0, rng) }
}

/// Everything a pass said, by slot.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) answers: Vec<Option<Given>>,
    pub(crate) observed: Vec<Option<Shown>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Given {
    pub(crate) label: u32,
    pub(crate) score: f32,
    pub(crate) exit: Exit,
    pub(crate) logits: Vec<f32>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) seen: Vec<Seen>,
    pub(crate) exit: u32,
    pub(crate) final_label: Option<u32>,
    pub(crate) is_sample: bool,
}

impl Sink for Heard {
    fn answer(&mut self, answer: Answer<'_>) {
        let Answer { row, label, score, exit, logits, .. } = answer;
        let given = Given { label, score, exit, logits: logits.to_vec() };
        let before = self.answers[row].replace(given);
        assert_eq!(before, None, "row {row} answered twice");
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let Observation { row, seen, exit, final_label, is_sample, .. } = observation;
        let shown = Shown { seen: seen.to_vec(), exit, final_label, is_sample };
        let before = self.observed[row].replace(shown);
        assert_eq!(before, None, "row {row} observed twice");
    }
}

/// An engine and one way to run it.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
}

impl Bench {
    pub(crate) fn new(model: &Model, threads: usize) -> Self {
        let limits = Limits { rows_max: 48, tokens_max: 1024 };
        let options = EngineOptions { threads, limits, ..machine::options() };
        Self { engine: Engine::new(model, &options).unwrap() }
    }

    pub(crate) fn exits(&self, score: Score, threshold: f32) -> Exits {
        Exits::uniform(self.engine.plan(), score, threshold).unwrap()
    }

    pub(crate) fn run(
        &mut self,
        rows: &[Row],
        exits: &Exits,
        after_exit: AfterExit,
    ) -> (Heard, PassReport) {
        self.run_with(rows, &PassSettings::new(exits, after_exit))
    }

    pub(crate) fn run_with(
        &mut self,
        rows: &[Row],
        settings: &PassSettings<'_>,
    ) -> (Heard, PassReport) {
        let batch = self.batch(rows);
        self.run_batch(&batch, settings)
    }

    pub(crate) fn batch(&self, rows: &[Row]) -> Batch {
        let mut batch = self.engine.batch();
        fill(&mut batch, rows);
        batch
    }

    pub(crate) fn run_batch(
        &mut self,
        batch: &Batch,
        settings: &PassSettings<'_>,
    ) -> (Heard, PassReport) {
        let rows = batch.rows();
        let mut heard = Heard { answers: vec![None; rows], observed: vec![None; rows] };
        let report = self.engine.run(batch, settings, &mut heard).unwrap();
        assert!(heard.answers.iter().all(Option::is_some), "a row without answer");
        assert!(heard.observed.iter().all(Option::is_some), "a row not observed");
        (heard, report)
    }
}

/// Rows of random tokens, 1 to 24 long, or of random pixels.
pub(crate) fn random_rows(count: usize, model: &Model, seed: u64) -> Vec<Row> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut row = || match RowRules::of(model.spec()) {
        RowRules::Text(rules) => {
            let ids = (0..rng.usize(1..25)).map(|_| rng.u32(0..rules.vocab as u32)).collect();
            TokenRow { ids, kinds: vec![] }.into()
        }
        RowRules::Image(rules) => Row::Image((0..rules.bytes()).map(|_| rng.u8(..)).collect()),
    };
    (0..count).map(|_| row()).collect()
}

/// A window that ends at `exit`.
pub(crate) fn exactly_at(exit: u32) -> ExitWindow {
    ExitWindow { first: exit, last: exit }
}

/// Puts these rows, and no others, into a batch.
pub(crate) fn fill(batch: &mut Batch, rows: &[Row]) {
    batch.clear();
    for row in rows {
        batch.push_row(row).unwrap().expect("room in the batch");
    }
}
