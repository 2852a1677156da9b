//! From training to early answers, on the shipped model.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Folder, run, shipped};

/// The first lines of a file in the shipped model's folder.
fn head(file: &str, lines: usize) -> String {
    let text = fs::read_to_string(Path::new(&shipped()).join(file)).unwrap();
    text.lines().take(lines).map(|line| format!("{line}\n")).collect()
}

fn answers(flags: &[&str], input: &str) -> Vec<Value> {
    run(&[&["classify", "--model", &shipped(), "--logits"], flags].concat(), input)
        .expect_code(0)
        .lines()
}

/// Trains small ramps once and takes them through all that needs ramps.
#[test]
fn ramps_are_trained_fitted_and_used() {
    let folder = Folder::new();
    let inputs = folder.write("inputs.jsonl", &head("train.jsonl", 400));
    let calibration = folder.write("calibration.jsonl", &head("calibration.jsonl", 300));
    let out = folder.path("ramps");
    let args = [
        "train-ramps",
        "--model",
        &shipped(),
        "--inputs",
        &inputs,
        "--calibration",
        &calibration,
        "--out",
        &out,
        "--epochs",
        "12",
        "--agreement",
        "0.9",
        "--json",
    ];
    let report = run(&args, "").expect_code(0).json();
    assert_eq!(report["calibration_rows"], json!(300));
    assert_eq!(report["sites"].as_array().unwrap().len(), 5);
    assert!(report["agreement"].as_f64().unwrap() >= 0.9);
    let deepest = &report["sites"][4];
    assert!(deepest["agreement"].as_f64().unwrap() > 0.9, "{deepest}");

    let ramps = format!("{out}/ramps.safetensors");
    let questions = head("test.jsonl", 60);
    both_ways_out_give_the_same_answers(&ramps, &questions);
    audits_estimate_agreement(&ramps, &questions);
    policies_are_kept_apart(&ramps, &questions);
    other_goals_can_be_fitted(&folder, &ramps, &calibration, &questions);
    demo_shows_them(&folder, &ramps);
}

fn both_ways_out_give_the_same_answers(ramps: &str, questions: &str) {
    let compact = answers(&["--ramps", ramps], questions);
    let release = answers(&["--ramps", ramps, "--after-exit", "release"], questions);
    assert_eq!(compact, release);
    assert!(compact.iter().any(|answer| answer["exit"].is_u64()), "nobody left early");

    let off = answers(&["--exits", "off"], questions);
    let never = answers(&["--ramps", ramps, "--policy", "patience(100)"], questions);
    for ((early, full), never) in compact.iter().zip(&off).zip(&never) {
        assert_eq!(early["id"], full["id"]);
        assert_eq!(never["logits"], full["logits"], "exits that never fire change nothing");
        assert_eq!(full["exit"], "final");
        if early["exit"] == "final" {
            assert_eq!(early["label"], full["label"]);
        }
    }
}

fn audits_estimate_agreement(ramps: &str, questions: &str) {
    let model = shipped();
    let base = ["classify", "--model", &model, "--ramps", ramps];
    for flags in [&["--audit-rate", "0.5"][..], &["--after-exit", "release"]] {
        let done = run(&[&base[..], flags].concat(), questions).expect_code(0);
        assert!(done.err.starts_with("agreement with the full model: "), "{}", done.err);
    }
    assert_eq!(run(&base, questions).expect_code(0).err, "", "nothing audited, nothing to say");
}

fn policies_are_kept_apart(ramps: &str, questions: &str) {
    let model = shipped();
    let base = ["classify", "--model", &model, "--ramps", ramps];
    let done = run(&[&base[..], &["--policy", "margin"]].concat(), questions).expect_code(2);
    assert!(done.err.contains("fitted for confidence, not for margin"), "{}", done.err);
    assert!(done.err.contains("--threshold X"), "{}", done.err);
    let first = answers(&["--ramps", ramps, "--policy", "margin", "--threshold", "0"], questions);
    assert!(first.iter().all(|answer| answer["exit"] == 0 && answer["depth"] == json!(0.1667)));
    let patient = answers(&["--ramps", ramps, "--policy", "patience(2)"], questions);
    assert!(patient.iter().any(|answer| answer["exit"] == 1));
}

fn other_goals_can_be_fitted(folder: &Folder, ramps: &str, calibration: &str, questions: &str) {
    let file = folder.path("margin.json");
    let args = [
        "fit-thresholds",
        "--model",
        &shipped(),
        "--ramps",
        ramps,
        "--calibration",
        calibration,
        "--policy",
        "margin",
        "--agreement",
        "0.9",
        "--out",
        &file,
        "--json",
    ];
    assert_eq!(run(&args, "").expect_code(0).json()["policy"], "margin");
    answers(&["--ramps", ramps, "--thresholds", &file, "--policy", "margin"], questions);
    fs::write(&file, "{}").unwrap();
    let model = shipped();
    let args = ["classify", "--model", &model, "--ramps", ramps, "--thresholds", &file];
    assert!(run(&args, questions).expect_code(1).err.contains("margin.json"));
}

fn demo_shows_them(folder: &Folder, ramps: &str) {
    let input = folder.write("few.jsonl", &head("test.jsonl", 40));
    let report = folder.path("deep/report.html");
    let model = shipped();
    let args = ["demo", "--model", &model, "--input", &input, "--ramps", ramps];
    let args = [&args[..], &["--seconds", "0.1", "--report", &report]].concat();
    let done = run(&args, "").expect_code(0);
    for text in ["full depth", "release", "compact", "agreement", "Where rows leave", &report] {
        assert!(done.out.contains(text), "{text}: {}", done.out);
    }
    let shown = done.out.lines().filter(|line| !line.starts_with("report: "));
    let widest = shown.max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= 100, "{widest}");
    let html = fs::read_to_string(&report).unwrap();
    // A machine too busy to send on time says so in place of figures.
    let is_skipped = done.out.contains("machine too busy: served part skipped");
    assert_eq!(done.out.contains("highest rate/s"), !is_skipped, "{}", done.out);
    let served = if is_skipped { 0 } else { 7 };
    assert_eq!(html.matches("<svg").count(), 2 + served, "of the library and behind a server");
    assert!(!html.contains("54.93") && !done.out.contains("54.93"), "of five answers");
    assert!(!html.contains("NaN") && !html.contains("http"), "self-contained");
}
