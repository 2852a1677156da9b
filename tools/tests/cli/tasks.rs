//! Models whose labels do not exclude each other, and models that give a number.

use serde_json::{Value, json};

use crate::support::{Folder, cases, golden, run, with_classifier};

fn model(keys: &Value, classes: usize) -> (Folder, String) {
    with_classifier("bert-cls", keys, classes)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[test]
fn labels_are_shown_with_a_sigmoid_each() {
    let (_folder, dir) = model(&json!({ "problem_type": "multi_label_classification" }), 6);
    let (input, expected) = cases("bert-cls");
    let answers = run(&["classify", "--model", &dir], &input).expect_code(0).lines();
    for (answer, logits) in answers.iter().zip(&expected) {
        assert!(answer.get("label").is_none() && answer.get("score").is_none(), "{answer}");
        let held = |label: usize| logits[label] > 0.0;
        let labels: Vec<String> =
            (0..6).filter(|&label| held(label)).map(|label| format!("LABEL_{label}")).collect();
        assert_eq!(answer["labels"], json!(labels));
        for (label, logit) in logits.iter().enumerate() {
            let found = answer["scores"][format!("LABEL_{label}")].as_f64().unwrap();
            assert!((found - sigmoid(*logit)).abs() < 1e-4, "{answer}");
        }
    }
}

#[test]
fn a_number_is_shown_as_the_checkpoint_was_made_for() {
    let (input, expected) = cases("bert-cls");
    let sigmoid_too = [
        (json!({}), true),
        (json!({ "problem_type": "regression" }), false),
        (json!({ "sentence_transformers": { "activation_fn": "torch.nn.Identity" } }), false),
        (json!({ "sbert_ce_default_activation_function": "torch.nn.Sigmoid" }), true),
        (
            json!({ "problem_type": "regression",
                    "sentence_transformers": { "activation_fn": "torch.nn.Sigmoid" } }),
            true,
        ),
    ];
    for (keys, is_score) in sigmoid_too {
        let (_folder, dir) = model(&keys, 1);
        let answers = run(&["classify", "--model", &dir], &input).expect_code(0).lines();
        for (answer, logits) in answers.iter().zip(&expected) {
            assert!((answer["value"].as_f64().unwrap() - logits[0]).abs() < 1e-4, "{answer}");
            assert!(answer.get("label").is_none());
            match answer.get("score") {
                Some(score) => {
                    assert!(is_score, "{keys}: {answer}");
                    assert!((score.as_f64().unwrap() - sigmoid(logits[0])).abs() < 1e-4);
                }
                None => assert!(!is_score, "{keys}: {answer}"),
            }
        }
    }
}

#[test]
fn tasks_that_are_not_run_are_refused_by_name() {
    let refused = [
        (json!({ "problem_type": "regression" }), 3, "found `regression` over 3 labels"),
        (json!({ "problem_type": "single_label_classification" }), 1, "of two labels or more"),
        (json!({ "problem_type": "ordinal" }), 2, "`problem_type` must be one of"),
        (
            json!({ "sbert_ce_default_activation_function": "torch.nn.Sigmoid" }),
            4,
            "unless `problem_type` is multi_label_classification",
        ),
    ];
    for (keys, classes, expected) in refused {
        let (_folder, dir) = model(&keys, classes);
        let done = run(&["classify", "--model", &dir], "").expect_code(1);
        assert!(done.err.contains("config.json") && done.err.contains(expected), "{}", done.err);
    }
    let done = run(&["classify", "--model", &golden("bert-cls"), "--tolerance", "0.1"], "");
    assert!(done.expect_code(2).err.contains("only for models that give a number"));
}

/// Rows of random tokens, one JSON line each.
fn rows(count: u64, seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut line = |id| {
        let tokens: Vec<u64> = (0..2 + next(16)).map(|_| next(100)).collect();
        format!("{}\n", json!({ "id": id, "tokens": tokens }))
    };
    (0..count).map(&mut line).collect()
}

/// Trained, fitted, and used by every verb that counts agreement.
#[test]
fn exits_are_trained_and_kept_to_their_promise() {
    let multi = json!({ "problem_type": "multi_label_classification" });
    for (keys, classes, tolerance) in [(multi, 4, None), (json!({}), 1, Some("0.1"))] {
        let (folder, dir) = model(&keys, classes);
        let inputs = folder.write("inputs.jsonl", &rows(300, 1));
        let calibration = folder.write("calibration.jsonl", &rows(300, 2));
        let mut args = vec!["train-ramps", "--model", &dir, "--inputs", &inputs, "--epochs", "15"];
        args.extend(["--calibration", &calibration, "--agreement", "0.8", "--json"]);
        args.extend(tolerance.iter().flat_map(|tolerance| ["--tolerance", tolerance]));
        let report = run(&args, "").expect_code(0).json();
        assert!(report["agreement"].as_f64().unwrap() >= 0.8, "{report}");
        let test = folder.write("test.jsonl", &rows(200, 3));
        let figures = run(&["evaluate", "--model", &dir, "--input", &test, "--json"], "")
            .expect_code(0)
            .json();
        for figure in figures.as_array().unwrap() {
            assert!(figure["agreement"].as_f64().unwrap() >= 0.75, "{figure}");
            assert_eq!(figure["accuracy"], Value::Null);
        }
        let record = folder.path("rows.record");
        let watch = ["--exits", "watch", "--record", &record];
        run(&[&["classify", "--model", &dir, "--input", &test][..], &watch].concat(), "")
            .expect_code(0);
        let tuned = ["tune", "--record", &record, "--search", "tethered", "--json"];
        let tuned = run(&[&tuned[..], &["--max-disagreement", "20%"]].concat(), "");
        assert!(!tuned.expect_code(0).json().as_array().unwrap().is_empty());
        let adapt = ["--adapt", "--max-disagreement", "20%"];
        run(&[&["classify", "--model", &dir, "--input", &test][..], &adapt].concat(), "")
            .expect_code(0);
        let about = run(&["inspect", "--model", &dir, "--json"], "").expect_code(0).json();
        assert_eq!(about["task"], if classes == 1 { "score" } else { "labels" });
        let margin = ["evaluate", "--model", &dir, "--input", &test, "--policy", "margin"];
        let margin = run(&[&margin[..], &["--threshold", "0.5"]].concat(), "");
        match classes {
            1 => assert!(margin.expect_code(2).err.contains("gives one number")),
            _ => drop(margin.expect_code(0)),
        }
    }
}

#[test]
fn labels_are_held_against_what_a_model_decides() {
    let (input, expected) = cases("bert-cls");
    let labelled = |label: &dyn Fn(&[f64]) -> Value| -> String {
        let lines = input.lines().zip(&expected).enumerate();
        let with = |(index, (line, logits)): (usize, (&str, &Vec<f64>))| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            // Every second label is right.
            let other: Vec<f64> = logits.iter().map(|x| -x).collect();
            line["label"] = label(if index % 2 == 0 { logits } else { &other });
            format!("{line}\n")
        };
        lines.map(with).collect()
    };
    let evaluated = |keys: Value, classes, label: &dyn Fn(&[f64]) -> Value| {
        let (folder, dir) = model(&keys, classes);
        let file = folder.write("labelled.jsonl", &labelled(label));
        run(&["evaluate", "--model", &dir, "--input", &file, "--json"], "")
    };
    let half = expected.len().div_ceil(2) as f64 / expected.len() as f64;
    let multi = json!({ "problem_type": "multi_label_classification" });
    let names = |logits: &[f64]| {
        let held = (0..6).filter(|&label| logits[label] > 0.0);
        held.map(|label| format!("LABEL_{label}")).collect::<Vec<_>>().into()
    };
    let figures = evaluated(multi.clone(), 6, &names).expect_code(0).json();
    assert!((figures[0]["accuracy"].as_f64().unwrap() - half).abs() < 1e-9, "{figures}");
    let error = evaluated(multi, 6, &|_| json!(["LABEL_9"])).expect_code(1).err;
    assert!(error.contains("\"LABEL_9\" is no class of this model"), "{error}");

    let regression = json!({ "problem_type": "regression" });
    let shifted = |logits: &[f64]| json!(logits[0] + 0.5);
    let figures = evaluated(regression.clone(), 1, &shifted).expect_code(0).json();
    let wrong = expected.iter().enumerate().map(|(index, logits)| match index % 2 {
        0 => 0.5,
        _ => (0.5 - 2.0 * logits[0]).abs(),
    });
    let mean = wrong.sum::<f64>() / expected.len() as f64;
    assert!((figures[0]["mean_absolute_error"].as_f64().unwrap() - mean).abs() < 1e-4, "{figures}");
    assert_eq!(figures[0]["accuracy"], Value::Null);
    let error = evaluated(regression, 1, &|_| json!("good")).expect_code(1).err;
    assert!(error.contains("the label \"good\" is no number"), "{error}");
}
