//! What a user is told when something does not fit.

use crate::support::{Folder, golden, run, shipped};

#[test]
fn bad_options_end_with_2() {
    let model = golden("bert-cls");
    let calls: [&[&str]; 9] = [
        &["classify", "--model", &model, "--colour"],
        &["classify"],
        &["classify", "--model", &model, "--threshold", "1.5"],
        &["classify", "--model", &model, "--policy", "luck"],
        &["classify", "--model", &model, "--device", "tpu"],
        &["classify", "--model", &model, "--batch", "0"],
        &["classify", "--model", &model, "--threshold", "0.5", "--thresholds", "x"],
        &["conquer"],
        &["bench", "--model", &model, "--profile-exits", "uniform", "--rounds", "1"],
    ];
    for call in calls {
        let done = run(call, "").expect_code(2);
        assert!(done.err.starts_with("error: "), "{call:?}: {}", done.err);
        assert_eq!(done.out, "");
    }
}

#[test]
fn a_missing_model_is_named() {
    for verb in ["classify", "inspect", "bench", "profile", "evaluate", "demo"] {
        let done = run(&[verb, "--model", "/nowhere/at-all"], "").expect_code(1);
        assert!(done.err.starts_with("error: /nowhere/at-all"), "{verb}: {}", done.err);
    }
}

#[test]
fn a_missing_input_is_named() {
    let args = ["classify", "--model", &golden("bert-cls"), "--input", "/nowhere/in.jsonl"];
    let done = run(&args, "").expect_code(1);
    assert!(done.err.starts_with("error: /nowhere/in.jsonl: cannot open"), "{}", done.err);
}

#[test]
fn a_base_model_classifies_nothing_but_can_be_inspected_and_timed() {
    let model = golden("bert-base-nohead");
    let done = run(&["classify", "--model", &model], "{\"tokens\": [1]}\n").expect_code(1);
    assert!(done.err.contains("a base model"), "{}", done.err);
    run(&["inspect", "--model", &model], "").expect_code(0);
    run(&["bench", "--model", &model, "--rows", "2", "--rounds", "1"], "").expect_code(0);
}

#[test]
fn exits_that_do_not_exist_are_refused_with_the_remedy() {
    let model = golden("bert-cls");
    for flags in [&["--exits", "on"][..], &["--threshold", "0.5"], &["--ramps", "/nowhere/r"]] {
        let done = run(&[&["classify", "--model", &model], flags].concat(), "").expect_code(1);
        let says = done.err.contains("train-ramps") || done.err.contains("/nowhere/r");
        assert!(says, "{flags:?}: {}", done.err);
    }
}

#[test]
fn a_bad_line_among_training_inputs_is_named_with_its_file() {
    let folder = Folder::new();
    let inputs = folder.write("inputs.txt", "What is this?\n\nAnd that?\n");
    let out = folder.path("out");
    let args = ["train-ramps", "--model", &shipped(), "--inputs", &inputs, "--out", &out];
    let done = run(&args, "").expect_code(1);
    assert_eq!(done.err, format!("error: {inputs}:2: the line is empty\n"));
    assert!(!std::path::Path::new(&out).exists(), "nothing is written");
}

#[test]
fn an_input_that_no_pass_has_room_for_is_told() {
    let folder = Folder::new();
    let inputs = folder.write("inputs.txt", &"What is the longest river of them all?\n".repeat(9));
    let model = shipped();
    let verb = ["train-ramps", "--model", &model, "--inputs", &inputs, "--tokens-max", "8"];
    let done = run(&verb, "").expect_code(2);
    assert!(done.err.contains("input 0: the input has 11 tokens, at most 8 fit"), "{}", done.err);
    let verb = ["evaluate", "--model", &model, "--input", &inputs, "--tokens-max", "8"];
    let done = run(&verb, "").expect_code(2);
    assert!(done.err.contains("11 tokens, at most 8 fit"), "{}", done.err);
}
