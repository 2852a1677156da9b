//! Exits that follow the workload while a real engine runs it.

use offramp::{AfterExit, Answer, Engine, Exits, Model, Score, Shape};
use offramp_kernels::ExitWindow;
use offramp_tune::adapt::{AdaptOptions, Adaptive, ExitConstraints};
use offramp_tune::profile::ShapeProfile;

use crate::machine;
use crate::shipped::questions;

#[test]
fn thresholds_are_learnt_published_and_used() {
    let model = Model::open(offramp_tests::shipped_dir()).unwrap();
    let mut engine = Engine::new(&model, &machine::options()).unwrap();
    let rows = questions(&model);
    let rows = &rows[..640];
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal.jsonl");
    let options = AdaptOptions { journal: Some(journal.clone()), ..Default::default() };
    let shapes = [ShapeProfile::measure(&mut engine, Shape { rows: 8, tokens: 16 }, 1).unwrap()];
    let watching = Exits::watching(engine.plan(), Score::Confidence);
    let mut adaptive = Adaptive::start(&engine, &watching, &shapes, &options).unwrap();
    let (mut answers, mut early, mut version) = (0_u64, 0, 0);
    for rows in rows.chunks(32).cycle().take(60) {
        let mut batch = engine.batch();
        for (row, _) in rows {
            batch.push(&row.ids, &row.kinds).unwrap().unwrap();
        }
        let mut sink = |answer: Answer<'_>| {
            answers += 1;
            early += u64::from(answer.exit != offramp::Exit::Final);
        };
        adaptive.run(&mut engine, &batch, AfterExit::Compact, &mut sink).unwrap();
        assert!(adaptive.exits().version >= version, "versions went back");
        version = adaptive.exits().version;
    }
    let done = adaptive.finish().unwrap();
    assert_eq!((answers, done.rows + done.lost_rows), (1920, 1920));
    assert!(early > 0 && version > 0, "{early} left early, version {version}, {done:?}");
    let lines = std::fs::read_to_string(journal).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [start, decisions @ ..] = &lines[..] else { panic!("the journal is empty") };
    assert_eq!((&start["reason"], start["rows"].as_u64()), (&"start".into(), Some(0)));
    assert_eq!(decisions.len() as u64, done.changes);
    assert!(decisions[0]["disagreement_at_most"].as_f64().unwrap() <= 0.01, "{decisions:?}");
}

#[test]
fn rows_with_constraints_of_their_own_teach_nothing() {
    let model = Model::open(offramp_tests::shipped_dir()).unwrap();
    let mut engine = Engine::new(&model, &machine::options()).unwrap();
    let exits = Exits::watching(engine.plan(), Score::Confidence);
    let shapes = [ShapeProfile::measure(&mut engine, Shape { rows: 4, tokens: 16 }, 1).unwrap()];
    let unfit = AdaptOptions { audit_rate: 0.0, ..Default::default() };
    let error = Adaptive::start(&engine, &exits, &shapes, &unfit).err().unwrap();
    assert!(error.to_string().contains("audit rate of 0"), "{error}");
    let mut adaptive = Adaptive::start(&engine, &exits, &shapes, &AdaptOptions::default()).unwrap();
    let mut batch = engine.batch();
    for (row, _) in &questions(&model)[..3] {
        batch.push(&row.ids, &row.kinds).unwrap().unwrap();
    }
    // The second is to leave at the first ramp, whatever that says.
    let mut windows = [ExitWindow::ANY; 3];
    windows[1].last = 0;
    let mut sink = |_: Answer<'_>| {};
    let constraints = ExitConstraints { windows: &windows, stays: &[] };
    adaptive.run_within(&mut engine, &batch, AfterExit::Compact, constraints, &mut sink).unwrap();
    assert_eq!(adaptive.finish().unwrap().rows, 2);
}
