//! Models that decide no class: sets of labels and numbers, from logits to a promise that is kept.

use offramp::model::files;
use offramp::{
    AfterExit, Decision, Engine, EngineOptions, Exit, Exits, Model, Policy, RampBundle, Row, Score,
    Task, ThresholdFile, probabilities,
};
use offramp_tests::golden_dir;
use offramp_tests::models::with_task;
use offramp_train::{FitOptions, RampOptions, Settings, fit_thresholds, train_ramps};
use offramp_tune::Goal;
use serde_json::{Value, json};

use crate::machine;
use crate::support::{Bench, golden, random_rows};

/// `bert-cls` with another task.
fn bert(keys: &Value, classes: usize) -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    with_task(&golden_dir().join("bert-cls"), dir.path(), keys, classes).unwrap();
    let model = Model::open(dir.path()).unwrap();
    (dir, model)
}

fn labels() -> (tempfile::TempDir, Model) {
    bert(&json!({ "problem_type": "multi_label_classification" }), 4)
}

fn value() -> (tempfile::TempDir, Model) {
    bert(&json!({ "problem_type": "regression" }), 1)
}

fn trained(model: &mut Model, epochs_max: usize) {
    let settings = Settings { epochs_max, ..Settings::default() };
    let options = RampOptions { settings, ..RampOptions::default() };
    let rows = random_rows(400, model, 1);
    let trained = train_ramps(model, &rows, &options, &mut |_| {}).unwrap();
    assert_eq!(trained.bundle.task, model.task());
    trained.bundle.write(&model.path(files::RAMPS)).unwrap();
    model.load_ramps(&model.path(files::RAMPS)).unwrap();
}

fn fitted(
    model: &Model,
    policy: Policy,
    tolerance: Option<f32>,
) -> offramp_train::Result<ThresholdFile> {
    let goal = Goal { agreement: 0.8, confidence: Some(0.9) };
    let engine = EngineOptions { tolerance, ..machine::options() };
    let options = FitOptions { policy, goal, engine };
    let rows = random_rows(600, model, 2);
    fit_thresholds(model, &rows, &options, &mut |_| {}).map(|(file, _)| file)
}

/// The share of fresh rows that leave early, and of all the share answered as at full depth.
fn held(model: &Model, file: &ThresholdFile) -> (f64, f64) {
    let rows: Vec<Row> = random_rows(480, model, 3);
    let mut bench = Bench::new(model, 1);
    let decision = bench.engine.decision();
    let early = Exits::from_file(bench.engine.plan(), file).unwrap();
    let off = Exits::off(bench.engine.plan());
    let (mut left, mut same) = (0, 0);
    for part in rows.chunks(40) {
        let (full, _) = bench.run(part, &off, AfterExit::Compact);
        let (packed, _) = bench.run(part, &early, AfterExit::Compact);
        let (released, _) = bench.run(part, &early, AfterExit::Release);
        assert_eq!(packed.answers, released.answers);
        for (early, full) in packed.answers.iter().flatten().zip(full.answers.iter().flatten()) {
            left += usize::from(early.exit != Exit::Final);
            same += usize::from(decision.agree(early.label, full.label));
            assert_eq!(early.label, decision.of(&early.logits));
        }
    }
    (left as f64 / rows.len() as f64, same as f64 / rows.len() as f64)
}

#[test]
fn sets_of_labels_leave_early_within_the_promise() {
    let (_dir, mut model) = labels();
    assert_eq!(model.task(), Task::Labels);
    trained(&mut model, 25);
    for policy in [Policy::Confidence, Policy::Entropy, Policy::Margin, Policy::Patience { k: 2 }] {
        let file = fitted(&model, policy, None).unwrap();
        assert_eq!((file.task, file.tolerance), (Task::Labels, None));
        let (left, same) = held(&model, &file);
        assert!(same >= 0.75, "{policy}: {left} left, {same} agree");
    }
}

#[test]
fn numbers_leave_early_within_the_promise() {
    let (_dir, mut model) = value();
    assert_eq!(model.task(), Task::Value);
    trained(&mut model, 25);
    let mut lefts = Vec::new();
    for policy in [Policy::Confidence, Policy::Entropy, Policy::Patience { k: 1 }] {
        let file = fitted(&model, policy, Some(0.1)).unwrap();
        assert_eq!((file.task, file.tolerance), (Task::Value, Some(0.1)));
        model.set_thresholds(Some(file.clone()));
        let (left, same) = held(&model, &file);
        assert!(same >= 0.75, "{policy}: {left} left, {same} agree");
        lefts.push(left);
        model.set_thresholds(None);
    }
    assert!(lefts.iter().any(|left| *left > 0.0), "{lefts:?}");
}

#[test]
fn thresholds_bring_their_tolerance_along() {
    let (_dir, mut model) = value();
    trained(&mut model, 3);
    let of = |model: &Model, tolerance| {
        let options = EngineOptions { tolerance, ..machine::options() };
        Engine::new(model, &options).map(|engine| engine.decision())
    };
    assert_eq!(of(&model, None).unwrap(), Decision::Value { tolerance: 0.02 });
    let file = fitted(&model, Policy::Confidence, Some(0.05)).unwrap();
    file.write(&model.path(files::THRESHOLDS)).unwrap();
    let model = Model::open(model.dir()).unwrap();
    assert_eq!(of(&model, None).unwrap(), Decision::Value { tolerance: 0.05 });
    assert_eq!(of(&model, Some(0.5)).unwrap(), Decision::Value { tolerance: 0.5 });
}

#[test]
fn what_makes_no_sense_for_a_number_is_refused_by_name() {
    let (_dir, mut model) = value();
    trained(&mut model, 2);
    let error = fitted(&model, Policy::Margin, None).unwrap_err().to_string();
    assert!(error.starts_with("margin: the model gives one number"), "{error}");
    let bench = Bench::new(&model, 1);
    let plan = bench.engine.plan();
    assert!(Exits::watching(plan, Score::Margin).check(plan).is_err());
    assert!(Exits::watching(plan, Score::Entropy).check(plan).is_ok());
    for tolerance in [0.0, 1.0, -0.5, f32::NAN] {
        assert!(model.decision(Some(tolerance)).is_err(), "{tolerance}");
    }
    let error = golden("bert-cls").decision(Some(0.1)).unwrap_err().to_string();
    assert!(
        error.contains("only for models that give a number, this one gives classes"),
        "{error}"
    );
}

#[test]
fn a_regression_far_from_zero_has_nothing_to_promise() {
    let (dir, model) = value();
    drop(model);
    // Its bias moved to where every sigmoid is 1.
    let file = dir.path().join("model.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let entries: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let at = header + entries["classifier.bias"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[at..at + 4].copy_from_slice(&50.0_f32.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    let model = Model::open(dir.path()).unwrap();
    let rows = random_rows(50, &model, 1);
    let error = train_ramps(&model, &rows, &RampOptions::default(), &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("50 of 50 inputs give a number whose sigmoid"), "{error}");
}

#[test]
fn ramps_of_classes_are_not_taken_for_labels() {
    let (dir, mut model) = labels();
    trained(&mut model, 2);
    // As they were written before ramps could learn anything else.
    let old = RampBundle { task: Task::Classes, ..model.ramps().unwrap().clone() };
    old.write(&model.path(files::RAMPS)).unwrap();
    let error = Model::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("`task` must be labels, as the model's"), "{error}");
}

#[test]
fn probabilities_are_those_of_transformers() {
    // Sigmoids as transformers' pipeline gives them, by PyTorch.
    let each = probabilities(Decision::Labels, &[2.1831, -0.4925, -1.8419, 0.2611]);
    let expected = [0.8987, 0.3793, 0.1368, 0.5649];
    assert!(each.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{each:?}");
}

#[test]
fn an_image_network_may_decide_labels_or_a_number() {
    let from = offramp_tests::golden_images_dir().join("resnet-cifar");
    for (keys, classes, task) in [
        (json!({ "problem_type": "multi_label_classification" }), 3, Task::Labels),
        (json!({ "problem_type": "regression" }), 1, Task::Value),
        (json!({}), 1, Task::Score),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = keys;
        keys["num_classes"] = json!(classes);
        with_task(&from, dir.path(), &keys, classes).unwrap();
        let model = Model::open(dir.path()).unwrap();
        assert_eq!(model.task(), task);
        let mut bench = Bench::new(&model, 1);
        let off = Exits::off(bench.engine.plan());
        let (heard, _) = bench.run(&random_rows(3, &model, 5), &off, AfterExit::Compact);
        for given in heard.answers.iter().flatten() {
            assert_eq!(given.logits.len(), classes);
            assert_eq!(given.label, bench.engine.decision().of(&given.logits));
        }
    }
}
