//! Corners of groups: nobody in them, others beside them, more slots than places, groups that do
//! not belong together or here, and sinks that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use offramp::{
    AfterExit, Answer, Batch, Engine, EngineOptions, Error, Exits, Group, Limits, Observation,
    PassSettings, Score, Sink,
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

fn batch(engine: &Engine, rows: usize) -> Batch {
    let mut batch = engine.batch();
    fill(&mut batch, &random_rows(rows, &model_with_ramps("bert-relu-many", 5), rows as u64));
    batch
}

/// A group that waits at the first site.
fn parked(engine: &mut Engine, rows: usize, exits: &Exits, sink: &mut dyn Sink) -> Group {
    let settings = PassSettings::new(exits, AfterExit::Compact);
    let mut group = engine.admit(&batch(engine, rows), &settings).unwrap().unwrap();
    engine.step(&mut group, None, sink).unwrap();
    engine.park(&mut group).unwrap();
    group
}

/// Lets a group run on to its end.
fn finish(engine: &mut Engine, mut group: Group, sink: &mut dyn Sink) {
    if group.is_parked() {
        engine.gather(&mut group, &mut Vec::new()).unwrap();
    }
    while engine.step(&mut group, None, sink).unwrap() {}
    engine.finish(group, sink).unwrap();
}

/// The slots that were answered, and the versions that were observed.
#[derive(Default)]
struct Told {
    answered: Vec<u32>,
    versions: Vec<u64>,
}

impl Sink for Told {
    fn answer(&mut self, answer: Answer<'_>) {
        self.answered.push(answer.slot.0);
    }

    fn observe(&mut self, observation: Observation<'_>) {
        self.versions.push(observation.version);
    }
}

impl Told {
    fn slots(mut self) -> Vec<u32> {
        self.answered.sort_unstable();
        self.answered
    }
}

/// The final answers of the one come while the other runs, and wait for who asks for them.
#[test]
fn a_pass_tells_of_its_own_rows_only() {
    let (mut engine, _) = engine(LIMITS, 3);
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Release);
    let mut late = Told::default();
    let [first, second] = [5, 3].map(|rows| {
        let mut group = engine.admit(&batch(&engine, rows), &settings).unwrap().unwrap();
        while engine.step(&mut group, None, &mut late).unwrap() {}
        group
    });
    assert!(late.answered.is_empty(), "nobody has looked for answers since the last segment");
    let mut beside = Told::default();
    engine.run(&batch(&engine, 4), &settings, &mut beside).unwrap();
    assert_eq!(beside.slots(), [8, 9, 10, 11]);
    let mut own = Told::default();
    engine.finish(second, &mut own).unwrap();
    assert_eq!(own.slots(), [5, 6, 7]);
    engine.drain(&mut late).unwrap();
    engine.finish(first, &mut late).unwrap();
    assert_eq!(late.slots(), [0, 1, 2, 3, 4]);
}

/// Nor does who comes after a group that was cancelled hear of it.
#[test]
fn answers_of_a_cancelled_group_are_forgotten() {
    let (mut engine, _) = engine(LIMITS, 2);
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Release);
    let mut group = engine.admit(&batch(&engine, 5), &settings).unwrap().unwrap();
    while engine.step(&mut group, None, &mut Told::default()).unwrap() {}
    engine.run(&batch(&engine, 4), &settings, &mut Told::default()).unwrap();
    engine.cancel(group).unwrap();
    let mut told = Told::default();
    engine.run(&batch(&engine, 6), &settings, &mut told).unwrap();
    assert_eq!(told.slots(), [0, 1, 2, 3, 4, 5]);
}

/// Rows that answered at a ramp are parked before the device has told so.
#[test]
fn a_pass_beside_parked_rows_tells_of_its_own() {
    let (mut engine, exits) = engine(LIMITS, 2);
    let mut own = Told::default();
    let group = parked(&mut engine, 7, &exits, &mut own);
    let mut beside = Told::default();
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    engine.run(&batch(&engine, 4), &settings, &mut beside).unwrap();
    assert_eq!(beside.slots(), [7, 8, 9, 10]);
    finish(&mut engine, group, &mut own);
    assert_eq!(own.slots(), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn groups_under_different_exits_stay_apart() {
    let (mut engine, exits) = engine(LIMITS, 3);
    let newer = Exits { version: exits.version + 1, ..exits.clone() };
    let stricter = Exits::uniform(engine.plan(), Score::Confidence, 0.9).unwrap();
    for other in [newer, stricter] {
        let mut told = Told::default();
        let mut group = parked(&mut engine, 3, &exits, &mut told);
        let mut others = vec![parked(&mut engine, 4, &other, &mut told)];
        assert!(!group.may_join(&others[0]));
        let refused = engine.gather(&mut group, &mut others).unwrap_err().to_string();
        assert!(refused.contains("under different exits"), "{refused}");
        assert!(group.is_parked() && others[0].is_parked());
        finish(&mut engine, group, &mut told);
        finish(&mut engine, others.remove(0), &mut told);
        let versions = [vec![exits.version; 3], vec![other.version; 4]].concat();
        assert_eq!((told.versions, told.answered.len()), (versions, 7));
    }
}

/// Waiting for room would never end.
#[test]
fn a_batch_that_never_fits_is_an_error() {
    let (large, _) = engine(LIMITS, 1);
    for limits in [Limits { rows_max: 4, ..LIMITS }, Limits { tokens_max: 24, ..LIMITS }] {
        let (mut small, exits) = engine(limits, 1);
        let settings = PassSettings::new(&exits, AfterExit::Compact);
        let error = small.admit(&batch(&large, 12), &settings).unwrap_err();
        assert!(error.to_string().contains("of the batch: "), "{error}");
        assert_eq!(small.room().rows, limits.rows_max);
    }
}

#[test]
fn a_group_of_another_engine_is_refused() {
    let (mut home, exits) = engine(LIMITS, 3);
    let (mut other, _) = engine(LIMITS, 3);
    let mut sink = |_: Answer<'_>| {};
    let mut own = parked(&mut other, 3, &exits, &mut sink);
    let refused = |result: Result<(), Error>| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("another engine"), "{error}");
    };
    let [mut group, second] = [3, 4].map(|rows| parked(&mut home, rows, &exits, &mut sink));
    refused(other.step(&mut group, None, &mut sink).map(drop));
    refused(other.gather(&mut group, &mut Vec::new()));
    let mut others = vec![group];
    refused(other.gather(&mut own, &mut others));
    let mut group = others.remove(0);
    home.gather(&mut group, &mut others).unwrap();
    refused(other.park(&mut group));
    refused(other.cancel(second));
    refused(other.finish(group, &mut sink).map(drop));
    let mut told = Told::default();
    finish(&mut other, own, &mut told);
    assert_eq!((told.slots(), other.room().rows), (vec![0, 1, 2], LIMITS.rows_max));
}

/// The time of rows that come together is that of who has waited longest.
#[test]
fn a_gathered_group_has_taken_as_long_as_its_first_rows() {
    let (mut engine, exits) = engine(LIMITS, 2);
    let mut sink = |_: Answer<'_>| {};
    let early = parked(&mut engine, 3, &exits, &mut sink);
    let started = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    let mut late = parked(&mut engine, 3, &exits, &mut sink);
    engine.gather(&mut late, &mut vec![early]).unwrap();
    while engine.step(&mut late, None, &mut sink).unwrap() {}
    let least = started.elapsed();
    let report = engine.finish(late, &mut sink).unwrap();
    assert!(report.elapsed >= least, "{:?} for {least:?}", report.elapsed);
}

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
    let unstepped = engine.admit(&engine.batch(), &settings).unwrap().unwrap();
    engine.finish(unstepped, &mut sink).unwrap();
    assert_eq!(answers, 3);
    assert_eq!(engine.room().rows, LIMITS.rows_max);
}

/// Dropped by mistake, one that runs leaves room for no other.
#[test]
fn an_engine_is_cleared_of_groups_that_were_dropped() {
    let (mut engine, exits) = engine(LIMITS, 3);
    let settings = PassSettings::new(&exits, AfterExit::Release);
    let kept = parked(&mut engine, 3, &exits, &mut Told::default());
    let mut dropped = engine.admit(&batch(&engine, 5), &settings).unwrap().unwrap();
    engine.step(&mut dropped, None, &mut Told::default()).unwrap();
    drop(dropped);
    let refused = engine.admit(&batch(&engine, 2), &settings).unwrap_err().to_string();
    assert!(refused.contains("park or end"), "{refused}");
    engine.clear().unwrap();
    assert_eq!((engine.room().rows, engine.room().groups), (LIMITS.rows_max, 3));
    let mut told = Told::default();
    engine.run(&batch(&engine, 4), &settings, &mut told).unwrap();
    assert_eq!(told.slots(), [0, 1, 2, 3]);
    let refused = engine.finish(kept, &mut Told::default()).unwrap_err().to_string();
    assert!(refused.contains("before this one was cleared"), "{refused}");
}

/// Flags for some rows would be taken for those of all.
#[test]
fn flags_of_another_batch_are_refused() {
    let (mut engine, exits) = engine(LIMITS, 1);
    for flags in [1, 4, 6] {
        let stays = vec![true; flags];
        let mut settings = PassSettings::new(&exits, AfterExit::Compact);
        settings.stays = &stays;
        let error = engine.admit(&batch(&engine, 5), &settings).unwrap_err().to_string();
        let expected = format!("expected one for each of 5 rows, or none, found {flags}");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn sizes_beyond_reason_are_refused_by_name() {
    let model = model_with_ramps("bert-relu-many", 5);
    let with = |limits, groups_max| {
        let options = EngineOptions { limits, groups_max, ..machine::options() };
        Engine::new(&model, &options).map(drop).unwrap_err().to_string()
    };
    for rows_max in [0, usize::MAX] {
        let error = with(Limits { rows_max, ..LIMITS }, 1);
        assert!(error.starts_with("rows_max: expected 1 to"), "{error}");
    }
    let error = with(Limits { tokens_max: usize::MAX, ..LIMITS }, 1);
    assert!(error.starts_with("tokens_max: expected at most"), "{error}");
    assert_eq!(with(LIMITS, 17), "groups_max: expected at most 16, a row for each, found 17");
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

/// What it has not been told is told to the next.
#[test]
fn a_sink_that_panics_takes_no_answer_with_it() {
    let (mut engine, _) = engine(LIMITS, 2);
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Release);
    let mut told = Told::default();
    let mut group = engine.admit(&batch(&engine, 5), &settings).unwrap().unwrap();
    while engine.step(&mut group, None, &mut told).unwrap() {}
    let beside = batch(&engine, 4);
    let run = || engine.run(&beside, &settings, &mut Panics { at_answer: true });
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    engine.finish(group, &mut told).unwrap();
    assert_eq!(told.slots(), [0, 1, 2, 3, 4]);
    assert_eq!(engine.run(&beside, &settings, &mut Told::default()).unwrap().rows, 4);
    assert_eq!(engine.room().rows, LIMITS.rows_max);
}

#[test]
fn a_group_that_a_panic_left_costs_no_slot() {
    let (mut engine, exits) = engine(LIMITS, 1);
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let batch = batch(&engine, 9);
    for at_answer in [true, false] {
        let mut group = engine.admit(&batch, &settings).unwrap().unwrap();
        while engine.step(&mut group, None, &mut Told::default()).unwrap() {}
        let finish = || engine.finish(group, &mut Panics { at_answer });
        assert!(catch_unwind(AssertUnwindSafe(finish)).is_err());
        let mut told = Told::default();
        engine.run(&batch, &settings, &mut told).unwrap();
        assert_eq!((told.answered.len(), engine.room().rows), (9, LIMITS.rows_max));
    }
}

/// The pass that was left had run beside them.
#[test]
fn parked_rows_go_on_behind_a_pass_that_a_panic_left() {
    let (mut engine, exits) = engine(LIMITS, 2);
    let mut told = Told::default();
    let group = parked(&mut engine, 5, &exits, &mut told);
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let beside = batch(&engine, 4);
    let run = || engine.run(&beside, &settings, &mut Panics { at_answer: true });
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
    finish(&mut engine, group, &mut told);
    assert_eq!(told.slots(), [0, 1, 2, 3, 4]);
    assert_eq!(engine.room().rows, LIMITS.rows_max);
}
