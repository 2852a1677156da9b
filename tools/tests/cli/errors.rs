//! What a user is told when something does not fit.

use crate::support::{Folder, copy_of, golden, run, shipped};

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

#[test]
fn what_a_command_reads_it_does_not_write() {
    let folder = copy_of(&shipped());
    let at = |name: &str| folder.path(name);
    let model = at("config.json");
    let model = model.trim_end_matches("/config.json");
    let (calibration, record) = (at("calibration.jsonl"), folder.write("day.record", "x"));
    let (weights, ramps) = (at("model.safetensors"), at("ramps.safetensors"));
    let (config, new) = (at("config.json"), at("new"));
    let fit = ["fit-thresholds", "--model", model, "--calibration", &calibration, "--out"];
    let classify = ["classify", "--model", model, "--input", &calibration];
    let load = ["load", "--model", model, "--input", &calibration, "--report"];
    let tune = ["tune", "--record", &record];
    let whole =
        || [&calibration, &record, &weights, &ramps, &config].map(|f| std::fs::read(f).unwrap());
    let before = whole();
    for (command, more) in [
        (&fit[..], &[&*calibration][..]),
        (&fit, &[&*ramps]),
        (&fit, &[&*config]),
        (&classify, &["--output", &weights]),
        (&classify, &["--exits", "watch", "--record", &weights]),
        (&classify, &["--adapt", "--journal", &calibration]),
        (&classify, &["--adapt", "--journal", &new, "--output", &new]),
        (&load, &[&*calibration]),
        (&tune, &["--plot", &record]),
        (&tune, &["--journal", &record]),
        (&tune, &["--journal", &new, "--plot", &new]),
        (
            &["serve", "--model", model, "--listen", "127.0.0.1:0", "--adapt"],
            &["--journal", &config],
        ),
    ] {
        let told = run(&[command, more].concat(), "").expect_code(2).err;
        assert!(told.contains(" is both "), "{more:?}: {told}");
    }
    assert_eq!(whole(), before);
}
