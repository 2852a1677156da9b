//! Corners of groups: nobody in them, more slots than places, and sinks that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use offramp::{
    AfterExit, Answer, Engine, EngineOptions, Exits, Limits, Observation, PassSettings, Score, Sink,
};

use crate::machine;
use crate::support::{fill, model_with_ramps, random_rows};

fn engine(limits: Limits, groups_max: usize) -> (Engine, Exits) {
    let model = model_with_ramps("bert-relu-many", 5);
    let options = EngineOptions { limits, groups_max, ..machine::options() };
    let engine = Engine::new(&model, &options).unwrap();
    let exits = Exits::uniform(engine.plan(), Score::Confidence, 0.6).unwrap();
    (engine, exits)
}

const LIMITS: Limits = Limits { rows_max: 16, tokens_max: 400 };

#[test]
fn a_group_of_nobody_disturbs_nobody() {
    let (mut engine, exits) = engine(LIMITS, 2);
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let mut batch = engine.batch();
    let mut answers = 0;
    let mut sink = |_: Answer<'_>| answers += 1;
    let mut nobody = engine.admit(&batch, &settings).unwrap().unwrap();
    fill(&mut batch, &random_rows(3, &model_with_ramps("bert-relu-many", 5), 1));
    let mut group = engine.admit(&batch, &settings).unwrap().unwrap();
    assert!(!engine.step(&mut nobody, None, &mut sink).unwrap());
    while engine.step(&mut group, None, &mut sink).unwrap() {}
    engine.finish(group, &mut sink).unwrap();
    engine.finish(nobody, &mut sink).unwrap();
    assert_eq!(answers, 3);
    assert_eq!(engine.room().rows, LIMITS.rows_max);
}

/// A text takes a place for each token, however many slots there are.
#[test]
fn places_run_out_before_slots() {
    let limits = Limits { rows_max: 16, tokens_max: 24 };
    let (mut engine, exits) = engine(limits, 2);
    let settings = PassSettings::new(&exits, AfterExit::Release);
    let mut batch = engine.batch();
    batch.push(&[7; 14], &[]).unwrap().unwrap();
    let mut sink = |_: Answer<'_>| {};
    let mut group = engine.admit(&batch, &settings).unwrap().unwrap();
    engine.step(&mut group, None, &mut sink).unwrap();
    engine.park(&mut group).unwrap();
    assert_eq!((engine.room().rows, engine.room().places), (15, 10));
    assert!(engine.admit(&batch, &settings).unwrap().is_none());
    engine.gather(&mut group, &mut Vec::new()).unwrap();
    while engine.step(&mut group, None, &mut sink).unwrap() {}
    engine.finish(group, &mut sink).unwrap();
}

/// Panics at the first answer, or at the first observation.
struct Panics {
    at_answer: bool,
}

impl Sink for Panics {
    fn answer(&mut self, _: Answer<'_>) {
        assert!(!self.at_answer, "a sink that panics");
    }

    fn observe(&mut self, _: Observation<'_>) {
        panic!("a sink that panics");
    }
}

#[test]
fn a_sink_that_panics_costs_no_slot() {
    let (mut engine, exits) = engine(LIMITS, 1);
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let mut batch = engine.batch();
    fill(&mut batch, &random_rows(9, &model_with_ramps("bert-relu-many", 5), 1));
    for at_answer in [true, false, true] {
        let run = || engine.run(&batch, &settings, &mut Panics { at_answer });
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        let mut answers = 0;
        engine.run(&batch, &settings, &mut |_: Answer<'_>| answers += 1).unwrap();
        assert_eq!((answers, engine.room().rows), (9, LIMITS.rows_max));
    }
}
