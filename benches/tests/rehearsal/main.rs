//! A rehearsal of `benches/gpu/run.sh`, the call that is made on a machine with a GPU: on the
//! interpreter's driver, with small models, and with things going wrong.
//!
//! The programs are those that cargo has just built beside this one: `cargo test --workspace`
//! builds them all.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stage;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;
use stage::{Call, Rehearsal, is_alive, on_interpreter, predicted, root};

/// Files of results at most: who runs programs on machines of others may send back few.
const FILES_MAX: usize = 8;

/// Cells of a part of our own report.
fn cells(ours: &Value, step: &str, part: &str) -> usize {
    ours[step][part].as_array().unwrap_or_else(|| panic!("no {step}, {part}: {ours}")).len()
}

#[test]
fn a_call_gives_all_it_can_whatever_goes_wrong() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let call = rehearsal.call("all", &[], &[("OFFRAMP_REHEARSAL_PLANT", "1")]);
    let steps = call.steps();
    let told = |name: &str| steps.get(name).map(String::as_str);
    assert_eq!(told("planted:failure"), Some("rc 7"), "{}", call.said);
    assert_eq!(told("planted:hang"), Some("rc 124"), "{}", call.said);
    let expected = [
        "machine",
        "probe",
        "answers",
        "suite",
        "suite-tf32",
        "forwards",
        "images",
        "kernels",
        "ncu",
        "bf16",
        "tf32",
        "serial",
        "sanitizer-memcheck",
        "sanitizer-racecheck",
        "sanitizer-synccheck",
        "sanitizer-initcheck",
        "table",
    ];
    for name in expected {
        assert_eq!(told(name), Some("rc 0"), "{name}: {}", call.text("log.txt"));
    }
    // Without torch, or without a GPU for it, theirs end with an error of their own.
    let theirs = ["warm", "peers-encoder", "peers-images", "peers-compiled", "peers-kernels"];
    assert!(theirs.iter().all(|name| told(name).is_some()), "{steps:?}");
    assert_eq!(steps.len(), expected.len() + theirs.len() + 2, "{steps:?}");
    assert_eq!(call.code, Some(1), "something has failed");
    assert!(call.said.trim_end().lines().count() > steps.len(), "the steps are said last");
    the_results_are_whole(&call);
    let log = call.text("log.txt");
    let (_, child) = log.split_once("the child of the hang is ").unwrap();
    let child = child.lines().next().unwrap();
    assert!(!is_alive(child), "what the hanging step started outlives it: {child}");
}

fn the_results_are_whole(call: &Call) {
    let names: Vec<_> = std::fs::read_dir(&call.out).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(names.len() <= FILES_MAX, "{names:?}");
    assert!(names.iter().all(|path| path.is_file()), "{names:?}");
    let ours = call.json("ours.json");
    for (step, part) in [
        ("forwards", "forwards"),
        ("forwards", "agreements"),
        ("forwards", "answers"),
        ("images", "forwards"),
        ("kernels", "kernels"),
        ("bf16", "forwards"),
        ("tf32", "forwards"),
    ] {
        assert!(cells(&ours, step, part) > 0, "{step}, {part}");
        assert_eq!(cells(&ours, step, "failed"), 0, "{step}: {ours}");
    }
    let probe = call.json("probe.json");
    assert_eq!(probe["probe"]["faults"], Value::Array(vec![]), "{probe}");
    let precision = |step: &str| ours[step]["precision"].as_str().unwrap();
    let precisions = ["kernels", "bf16", "tf32"].map(precision);
    assert_eq!(precisions, ["f16", "bf16", "tf32"]);
    let table = call.text("gpu.md");
    assert!(table.contains("| tiny | 1 x 8 | f16 | easy compact always |"), "{table}");
    for kernel in ["linear qkv", "norm", "embed", "ramp", "compact"] {
        assert!(table.contains(&format!("| tiny | 1 x 8 | f16 | {kernel} |")), "{kernel}: {table}");
    }
    assert!(call.text("ncu.txt").contains("one pass"));
}

/// The ladder holds what the model predicts, whatever has been measured beside it.
#[test]
fn predictions_are_those_of_the_model() {
    if Rehearsal::new().is_none() {
        return;
    }
    let printed = predicted(&[]);
    let ladder = std::fs::read_to_string(root().join("kernels/LADDER.md")).unwrap();
    let written: Vec<_> = ladder.lines().map(without_measured).collect();
    assert!(printed.lines().count() > 30, "{printed}");
    for line in printed.lines().filter(|line| line.starts_with('|')).map(without_measured) {
        assert!(written.contains(&line), "kernels/LADDER.md has no line {line}");
    }
}

/// What the model takes for the kernels of a forward is what is launched.
#[test]
fn as_many_kernels_are_launched_as_the_model_says() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let launches: BTreeMap<String, usize> =
        serde_json::from_str(&predicted(&["--launches"])).unwrap();
    for model in ["tiny", "tiny-images"] {
        assert_eq!(rehearsal.launches(model, "1").len(), launches[model], "{model}");
    }
}

/// The profiler is to see a layer from its first kernel to its last.
#[test]
fn what_the_profiler_sees_is_a_layer() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    for rows in ["1", "4"] {
        let launched = rehearsal.launches("tiny", rows);
        let window = |index: &str| {
            let window = predicted(&["--window", rows, index]);
            let numbers = window.split_whitespace().map(|number| number.parse().unwrap());
            <[usize; 2]>::try_from(numbers.collect::<Vec<_>>()).unwrap()
        };
        let [first, second] = ["0", "1"].map(|index| {
            let [before, count] = window(index);
            &launched[before..][..count]
        });
        assert_eq!(first, second, "{launched:?}");
        let attention = &second[1];
        assert_ne!(second[0], *attention);
        assert_eq!(second.iter().filter(|kernel| *kernel == attention).count(), 1, "{launched:?}");
        assert!(!second.contains(&launched[0]), "embeddings: {launched:?}");
        // It is one of the last pass, which begins with the embeddings.
        let [before, _] = window("0");
        assert!(!launched[before..].contains(&launched[0]), "{launched:?}");
    }
}

/// The cells of a table's line, each up to the slash before what was measured.
fn without_measured(line: &str) -> String {
    let before = |cell: &str| cell.split('/').next().unwrap_or_default().trim().to_owned();
    line.split('|').map(before).collect::<Vec<_>>().join("|")
}

/// A failing launch breaks the device in the middle of a bench: what was measured before stays, and
/// what was not says why.
#[test]
fn a_bench_that_breaks_keeps_its_cells() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let call =
        rehearsal.call("broken", &["again", "kernels"], &[("OFFRAMP_SIM_FAILING_LAUNCH", "120")]);
    assert_eq!(call.steps()["kernels"], "rc 1", "{}", call.said);
    let ours = call.json("ours.json");
    assert!(cells(&ours, "kernels", "kernels") > 0, "{ours}");
    assert!(cells(&ours, "kernels", "failed") > 0, "{ours}");
    assert!(call.text("gpu.md").contains("- failed: ours tiny"));
    // A second call into the same place adds to it.
    rehearsal.script("bin/another", "");
    let second = rehearsal.call("broken", &["again", "bf16"], &[]);
    assert_eq!(second.code, Some(0), "{}", second.said);
    assert_eq!(second.steps()["kernels"], "rc 1", "{}", second.said);
    let both = second.json("ours.json");
    assert_eq!(both["kernels"], ours["kernels"]);
    assert!(cells(&both, "bf16", "forwards") > 0, "{both}");
    assert_ne!(both["bf16"]["build"], both["kernels"]["build"], "other programs");
    for step in ["kernels", "bf16"] {
        let build = both[step]["build"].as_str().unwrap();
        let lines = second.text("steps.txt");
        let line = lines.lines().find(|line| line.starts_with(step)).unwrap();
        assert!(line.split_whitespace().any(|word| word == build), "{build}: {line}");
    }
    assert!(second.text("log.txt").starts_with(&call.text("log.txt")));
    let heading = |call: &Call| call.text("gpu.md").lines().nth(2).unwrap().to_owned();
    assert!(heading(&second).contains(" and "), "both builds: {}", heading(&second));
    // A step that gives nothing now has no cells from before.
    let third = rehearsal.call("broken", &["again", "bf16"], &[("OFFRAMP_SIM_DEVICES", "0")]);
    assert_eq!(third.steps()["bf16"], "rc 1", "{}", third.said);
    assert_eq!(third.json("ours.json").as_object().unwrap().len(), 1, "{}", third.said);
}

/// A second call runs what it is told, within the time it is given.
#[test]
fn a_second_call_runs_the_steps_it_is_given() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let call = rehearsal.call("again", &["again", "suite"], &[]);
    let of = |call: &Call| call.steps().into_iter().collect::<Vec<_>>();
    let told = |name: &str, code: &str| (name.to_owned(), code.to_owned());
    assert_eq!(of(&call), [told("suite", "rc 0"), told("table", "skipped")], "{}", call.said);
    assert_eq!(call.code, Some(0), "{}", call.said);
    let call = rehearsal.call("late", &["again", "suite", "--seconds", "10"], &[]);
    assert_eq!(of(&call), [told("suite", "skipped"), told("table", "skipped")]);
    assert_eq!(call.code, Some(1));
    let late = rehearsal.call("again", &["again", "suite", "--seconds", "10"], &[]);
    assert_eq!(late.steps()["suite"], "rc 0", "what was done stays: {}", late.said);
    let failed = "alone:errors::a_device,ops::f16::pixels";
    let call = rehearsal.call("alone", &["again", failed, "memcheck:ops::f16::pixels"], &[]);
    let expected =
        [told(failed, "rc 0"), told("memcheck:ops::f16::pixels", "rc 0"), told("table", "skipped")];
    assert_eq!(of(&call), expected, "{}", call.said);
    assert!(call.text("log.txt").contains("1 passed"), "{}", call.said);
    let misspelt = "alone:ops::f16::pixels,opps";
    let call = rehearsal.call("misspelt", &["again", misspelt], &[]);
    assert_eq!(call.steps()[misspelt], "rc 2", "{}", call.said);
    assert!(call.said.contains("no test has opps in its name"), "{}", call.said);
}

/// Who no longer listens finds it all in the files.
#[test]
fn a_call_that_nobody_listens_to_goes_on() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let mut command = rehearsal.command();
    command.args(["again", "machine", "--tiny", "--bundle", "bin", "--out", "unheard"]);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    drop(running.stdout.take());
    assert_eq!(running.wait().unwrap().code(), Some(0));
    let call = Call { code: Some(0), said: String::new(), out: rehearsal.path("unheard") };
    assert_eq!(call.steps()["machine"], "rc 0");
}

/// What cannot be is told in a line, before anything is run.
#[test]
fn a_call_that_makes_no_sense_is_refused() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let refused = |args: &[&str], why: &str| {
        let said = rehearsal.refused(args);
        assert!(said.contains(why), "{args:?}: {said}");
    };
    refused(&["again", "sweet", "--bundle", "bin"], "no step sweet; there are: machine, probe");
    refused(&["again"], "which steps?");
    refused(&["more"], "unknown verb more");
    refused(&["--seconds", "nan"], "nan is no time");
    refused(&["--seconds=-1"], "-1 is no time");
    refused(&["--bundle", "nowhere"], "no such folder");
    refused(&["--bundle", ""], "it has no name");
    refused(&["again", "alone:a b", "--bundle", "bin"], "no step alone:a b");
    std::fs::write(rehearsal.path("file"), "").unwrap();
    refused(&["again", "machine", "--bundle", "bin", "--out", "file"], "file: ");
    std::fs::create_dir(rehearsal.path("cut")).unwrap();
    let archive = rehearsal.path("cut/programs.tar.xz");
    std::fs::write(archive, b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02").unwrap();
    refused(&["--bundle", "cut"], "cannot be unpacked");
}

/// The bench says what it cannot time, and never takes it for a success.
#[test]
fn a_bench_that_has_nothing_to_time_fails() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let bench = |args: &[&str]| {
        let mut command = on_interpreter(&rehearsal.path("bin/gpu"));
        let done = command.args(["--bench", "--tiny"]).args(args).output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    let refused = |args: &[&str], expected: i32, why: &str| {
        let (code, said) = bench(args);
        assert_eq!(code, Some(expected), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    };
    refused(&["--models", "tiny-images", "--parts", "kernels"], 1, "nothing was timed");
    refused(&["--rows", "18446744073709551615"], 2, "must be from 1 to 4096");
    refused(&["--out", "table.md"], 2, "the table's name");
    let out = rehearsal.path("adir");
    std::fs::create_dir(&out).unwrap();
    refused(&["--out", out.to_str().unwrap()], 1, "adir: is a folder");
    let report = rehearsal.path("report.json");
    std::fs::write(&report, "of before").unwrap();
    let nothing = ["--models", "tiny-images", "--parts", "kernels", "--out"];
    refused(&[&nothing[..], &[report.to_str().unwrap()]].concat(), 1, "nothing was timed");
    assert_eq!(std::fs::read_to_string(report).unwrap(), "of before");
    let twice = ["--models", "tiny,tiny", "--rows", "2,2", "--parts", "kernels"];
    let (code, said) = bench(&twice);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("tiny 2 x 8, norm:").count(), 1, "{said}");
}

/// Without its programs a call does what is left to do; what ran beside a step that did not start
/// is ended. Folders are the caller's.
#[test]
fn programs_that_are_missing_stop_no_other_step() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    std::fs::create_dir(rehearsal.path("none")).unwrap();
    rehearsal.script("tools/nice", "exec sleep 1000");
    let mut command = rehearsal.command();
    command.args(["again", "warm", "suite", "forwards", "ncu", "machine"]);
    let done = command.args(["--tiny", "--bundle", "none", "--out", "here"]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let call = Call { code: done.status.code(), said, out: rehearsal.path("here") };
    let steps = call.steps();
    let told = |name: &str| steps.get(name).map(String::as_str);
    assert_eq!(told("warm"), Some("rc 124"), "{}", call.said);
    assert_eq!([told("suite"), told("forwards")], [Some("rc 127"); 2], "{}", call.said);
    assert_eq!(told("machine"), Some("rc 0"), "{}", call.said);
    assert_eq!(told("ncu"), Some("rc 1"), "no tool reaches a program: {}", call.said);
    assert_eq!(call.code, Some(1));
}

/// Whatever ends a call, here the loss of its folder, ends its steps.
#[test]
fn a_call_that_cannot_write_leaves_no_step_behind() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    let child = rehearsal.path("child");
    let out = rehearsal.path("lost");
    // Two that start together: one loses the folder once the other has begun.
    let starts = format!("sleep 1000 & echo $! > {0}.new; mv {0}.new {0}; wait", child.display());
    let lost =
        format!("until [ -e {} ]; do sleep 0.02; done; rm -r {}", child.display(), out.display());
    let tool = format!("case $* in *racecheck*) {starts};; *) {lost};; esac");
    rehearsal.script("tools/compute-sanitizer", &tool);
    let steps = ["again", "sanitizer-memcheck", "sanitizer-racecheck"];
    let call = rehearsal.call("lost", &steps, &[]);
    assert_eq!(call.code, Some(1), "{}", call.said);
    assert!(call.said.contains("lost"), "{}", call.said);
    let child = std::fs::read_to_string(child).unwrap();
    assert!(!is_alive(child.trim()), "the other step outlives the call");
}

/// Whoever interrupts a call has its results, and no process or folder of it but what drivers and
/// compilers keep for the next.
#[test]
fn an_interrupted_call_ends_in_order() {
    let Some(rehearsal) = Rehearsal::new() else { return };
    rehearsal.script(
        "hanging/cuda",
        "sleep 1000 & echo $! > \"$0.new\"; mv \"$0.new\" \"$0.child\"; wait",
    );
    std::fs::create_dir(rehearsal.path("tmp")).unwrap();
    let child = rehearsal.path("hanging/cuda.child");
    for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mut command = rehearsal.command();
        command.args(["again", "suite", "kernels", "--tiny", "--bundle", "hanging", "--out", name]);
        command.env("TMPDIR", rehearsal.path("tmp"));
        let mut running = command.stdout(Stdio::null()).spawn().unwrap();
        while !child.exists() {
            assert_eq!(running.try_wait().unwrap(), None, "{name}: ended before its step began");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let process = running.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &process]).status().unwrap();
        assert!(sent.success());
        let ended = running.wait().unwrap();
        assert_eq!(ended.code(), Some(code), "{name}");
        let call = Call { code: Some(code), said: String::new(), out: rehearsal.path(name) };
        let steps = call.steps();
        assert_eq!(steps["suite"], format!("rc {code}"));
        assert_eq!([steps["kernels"].as_str(), &steps["table"]], ["skipped"; 2], "{steps:?}");
        let started = std::fs::read_to_string(&child).unwrap();
        assert!(!is_alive(started.trim()), "{name}: the step outlives the call");
        let left = std::fs::read_dir(rehearsal.path("tmp")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["offramp-caches"], "{name}");
        std::fs::remove_file(&child).unwrap();
    }
}
