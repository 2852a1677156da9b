//! Flags that nothing would come of, and files that cannot be written: told before any work.

use crate::support::{Folder, golden, golden_images, run, shipped};

/// Ends with 2, names the flag, and says why.
fn expect_idle(call: &[&str], flag: &str, because: &str) {
    let done = run(call, "").expect_code(2);
    let told = format!("--{flag} changes nothing {because}");
    assert!(done.err.contains(&told), "{call:?}: {}", done.err);
    assert_eq!(done.out, "", "{call:?}");
}

#[test]
fn flags_of_a_load_without_effect_are_refused() {
    let model = shipped();
    let load = ["load", "--model", &model, "--input", "no such file"];
    let refused = |more: &[&str], flag: &str, because: &str| {
        expect_idle(&[&load[..], more].concat(), flag, because);
    };
    refused(&["--scenario", "offline", "--rate", "100"], "rate", "with --scenario offline");
    refused(&["--scenario", "offline", "--search"], "search", "with --scenario offline");
    let single = ["--scenario", "single-stream"];
    refused(
        &[&single[..], &["--arrivals", "bursty"]].concat(),
        "arrivals",
        "with --scenario single",
    );
    refused(&[&single[..], &["--seed", "1"]].concat(), "seed", "with --scenario single-stream");
    refused(&[&single[..], &["--connections", "2"]].concat(), "connections", "with --scenario");
    refused(&["--trace", "x.csv", "--seed", "1"], "seed", "with --trace");
    refused(&["--arrivals", "constant", "--seed", "1"], "seed", "with --arrivals constant");
    refused(&["--exits-off", "--agreement"], "agreement", "with --exits-off");
}

#[test]
fn flags_of_other_verbs_without_effect_are_refused() {
    let (model, bert) = (shipped(), golden("bert-cls"));
    let images = golden_images("resnet-cifar");
    let tune = ["tune", "--record", "no such file"];
    let tuned = |more: &[&'static str], flag: &str, because: &str| {
        expect_idle(&[&tune[..], more].concat(), flag, because);
    };
    tuned(&["--after-exit", "release", "--audit-rate", "0.1"], "audit-rate", "with --after-exit");
    tuned(&["--after-exit", "release", "--seed", "4"], "seed", "with --after-exit release");
    tuned(&["--manage-ramps", "false", "--ramp-budget", "0.1"], "ramp-budget", "with --manage");
    tuned(&["--promise", "point", "--confidence", "99%"], "confidence", "with --promise point");
    let bench = ["bench", "--model", &model, "--rounds", "1"];
    let benched = |more: &[&'static str], flag: &str, because: &str| {
        expect_idle(&[&bench[..], more].concat(), flag, because);
    };
    benched(&["--ragged", "--tokens", "8"], "tokens", "with --ragged");
    benched(&["--lengths-from", "x", "--tokens", "8"], "tokens", "with --lengths-from");
    benched(&["--seconds", "1"], "seconds", "with --rounds");
    benched(&["--exits", "off", "--threshold", "0.5"], "threshold", "with --exits off");
    benched(&["--variants", "full", "--policy", "margin"], "policy", "with --variants full");
    benched(&["--device", "cpu", "--precision", "bf16"], "precision", "on a CPU");
    for verb in ["bench", "profile", "inspect"] {
        let call = [verb, "--model", &images, "--tokens", "8"];
        expect_idle(&call, "tokens", "for a model that reads images");
    }
    let lengths = ["bench", "--model", &images, "--lengths-from", "x"];
    expect_idle(&lengths, "lengths-from", "for a model that reads images");
    let plan = ["inspect", "--model", &bert, "--plan", "--rows", "4"];
    expect_idle(&plan, "rows", "with --plan");
    for verb in ["evaluate", "demo"] {
        let off = [verb, "--model", &model, "--exits", "off", "--policy", "margin"];
        expect_idle(&off, "policy", "with --exits off");
        let watch = run(&[verb, "--model", &model, "--exits", "watch"], "").expect_code(2);
        assert!(watch.err.contains("--exits watch, where nobody leaves"), "{}", watch.err);
    }
    let cpu = ["--device", "cpu", "--precision", "f16"];
    let train = ["train-ramps", "--model", &bert, "--inputs", "no such file"];
    expect_idle(&[&train[..], &cpu].concat(), "precision", "on a CPU");
    let fit = ["fit-thresholds", "--model", &bert, "--calibration", "no such file"];
    expect_idle(&[&fit[..], &cpu].concat(), "precision", "on a CPU");
    let stream = ["stream", "--images", "x", "--frames", "9", "--cut", "0", "--mirror"];
    expect_idle(&stream, "mirror", "with --cut 0");
}

#[test]
fn a_twin_without_effect_is_named() {
    let mut command =
        crate::support::offramp(&["tune", "--record", "x", "--after-exit", "release"]);
    let output = command.env("OFFRAMP_AUDIT_RATE", "0.3").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("--audit-rate (OFFRAMP_AUDIT_RATE) changes nothing"), "{told}");
}

#[test]
fn what_cannot_be_written_is_told_before_any_work() {
    let folder = Folder::new();
    let (model, questions) = (shipped(), format!("{}/test.jsonl", shipped()));
    let file = folder.write("file", "kept");
    let below = format!("{file}/below");
    let images = format!("{}/../fashion-mnist/test-images-idx3-ubyte.gz", shipped());
    let classify = ["classify", "--model", &model, "--input", &questions];
    let serve = ["serve", "--model", "no such folder", "--listen", "127.0.0.1:0", "--adapt"];
    let calls: [&[&str]; 12] = [
        &["train-ramps", "--model", &model, "--inputs", &questions, "--out", &below],
        &["fit-thresholds", "--model", &model, "--calibration", &questions, "--out", &below],
        &["profile", "--model", &model, "--out", &below],
        &["convert", "--weights", "x", "--architecture", "resnet20", "--out", &below],
        &["stream", "--images", &images, "--frames", "9", "--out", &below],
        &[&classify[..], &["--output", &below]].concat(),
        &[&classify[..], &["--exits", "watch", "--record", &below]].concat(),
        &[&classify[..], &["--adapt", "--journal", &below]].concat(),
        &[&serve[..], &["--journal", &below]].concat(),
        &["tune", "--record", "no such file", "--plot", &below],
        &["tune", "--record", "no such file", "--journal", &below],
        &["load", "--model", &model, "--input", "no such file", "--report", &below],
    ];
    for call in calls {
        let done = run(call, "").expect_code(1);
        assert!(done.err.starts_with(&format!("error: {below}")), "{call:?}: {}", done.err);
        assert!(done.err.contains("cannot write: "), "{call:?}: {}", done.err);
        assert_eq!(done.out, "", "{call:?}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
}

#[test]
fn missing_folders_of_what_is_written_as_it_comes_are_made() {
    let (folder, model) = (Folder::new(), shipped());
    let (output, journal) = (folder.path("new/deep/out.jsonl"), folder.path("other/deep/j.jsonl"));
    let call = ["classify", "--model", &model, "--output", &output, "--adapt"];
    run(&[&call[..], &["--journal", &journal]].concat(), "Who wrote Hamlet?\n").expect_code(0);
    for written in [output, journal] {
        assert_eq!(std::fs::read_to_string(written).unwrap().lines().count(), 1);
    }
}

#[test]
fn an_output_replaces_the_old_one_only_when_it_is_whole() {
    let folder = Folder::new();
    let (model, input) = (shipped(), folder.write("in.txt", "Who wrote Hamlet?\nWho?\n"));
    let output = folder.write("out.jsonl", "old\n");
    let call = ["classify", "--model", &model, "--input", &input, "--output", &output];
    run(&[&call[..], &["--threshold", "7"]].concat(), "").expect_code(2);
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "old\n");
    run(&call, "").expect_code(0);
    assert_eq!(std::fs::read_to_string(&output).unwrap().lines().count(), 2);
    // Lines that fail are lines of the output too.
    let input = folder.write("bad.jsonl", "{\"id\": 3}\nWho?\n");
    run(&["classify", "--model", &model, "--input", &input, "--output", &output], "")
        .expect_code(1);
    assert!(std::fs::read_to_string(&output).unwrap().starts_with("{\"id\":3,"));
    let left = std::fs::read_dir(std::path::Path::new(&output).parent().unwrap()).unwrap();
    assert_eq!(left.count(), 3, "nothing is left beside it");
}
