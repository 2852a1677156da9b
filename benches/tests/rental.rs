//! A rehearsal of `benches/gpu/run.sh`, the call that is made on a machine with a GPU: on the
//! interpreter's driver, with small models, and with things going wrong.
//!
//! The programs are those that cargo has just built beside this one: `cargo test --workspace`
//! builds them all.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;

/// Files that come back from a lent machine at most.
const FILES_MAX: usize = 8;

/// Stands in for the tools of CUDA: skips what comes before the program, and runs that.
const TOOL: &str = "#!/bin/sh\nwhile [ \"${1#/}\" = \"$1\" ]; do shift; done\nexec \"$@\"\n";

/// A bundle of programs, tools and a place for results.
struct Rental {
    folder: tempfile::TempDir,
}

/// What a call left behind.
struct Call {
    code: Option<i32>,
    said: String,
    out: PathBuf,
}

impl Rental {
    /// `None` where there is no Python, which the call is made of.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    fn new() -> Option<Self> {
        let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
        if !python.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no python3");
            return None;
        }
        let rental = Self { folder: tempfile::tempdir().unwrap() };
        for name in ["bin", "tools"] {
            std::fs::create_dir(rental.path(name)).unwrap();
        }
        let test = std::env::current_exe().unwrap();
        let deps = test.parent().unwrap();
        for name in ["cuda", "gpu"] {
            symlink(newest(deps, name), rental.path("bin").join(name)).unwrap();
        }
        let offramp = deps.parent().unwrap().join("offramp");
        assert!(offramp.exists(), "{}: not built", offramp.display());
        symlink(offramp, rental.path("bin/offramp")).unwrap();
        for name in ["ncu", "compute-sanitizer"] {
            let tool = rental.path("tools").join(name);
            std::fs::write(&tool, TOOL).unwrap();
            std::fs::set_permissions(&tool, PermissionsExt::from_mode(0o755)).unwrap();
        }
        Some(rental)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `run.sh` with these arguments, on the interpreter's driver.
    fn call(&self, out: &str, args: &[&str], settings: &[(&str, &str)]) -> Call {
        let mut command = on_interpreter(&root().join("benches/gpu/run.sh"));
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("tools").display()));
        command.envs(settings.iter().copied());
        let out = self.path(out);
        command.args(args).arg("--tiny").arg("--bundle").arg(self.path("bin"));
        let done = command.arg("--out").arg(&out).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        Call { code: done.status.code(), said: said.into_owned(), out }
    }
}

impl Call {
    fn text(&self, name: &str) -> String {
        let path = self.out.join(name);
        let read = std::fs::read_to_string(&path);
        read.unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), self.said))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// How each step ended, by its name: `rc 0`, `skipped`.
    fn steps(&self) -> BTreeMap<String, String> {
        let step = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            let code = if words[1] == "rc" { words[1..3].join(" ") } else { words[1].to_owned() };
            (words[0].to_owned(), code)
        };
        self.text("steps.txt").lines().map(step).collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program with nothing of this process's settings but the interpreter's driver.
fn on_interpreter(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OFFRAMP_")) {
        command.env_remove(name);
    }
    let test = std::env::current_exe().unwrap();
    let mut places = test.ancestors().map(|folder| folder.join("libofframp_libcuda.so"));
    let driver = places.find(|path| path.exists()).expect("the driver beside the test");
    command.env("OFFRAMP_CUDA_DRIVER", driver).env("OFFRAMP_SIM_CARD", "h100");
    command
}

/// What the model of times prints.
fn predicted(args: &[&str]) -> String {
    let model = root().join("benches/gpu/predict.py");
    let printed = Command::new("python3").arg(model).args(args).output().unwrap();
    assert!(printed.status.success(), "{printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}

/// The program of this name that was built last.
fn newest(deps: &Path, name: &str) -> PathBuf {
    let is_it = |path: &PathBuf| {
        let stem = path.file_name().unwrap().to_str().unwrap();
        let hash = stem.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        hash.is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let built = |path: &PathBuf| path.metadata().unwrap().modified().unwrap();
    let entries = std::fs::read_dir(deps).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.filter(is_it).max_by_key(|path| -> SystemTime { built(path) });
    found.unwrap_or_else(|| panic!("{name} is not built: `cargo test --workspace` builds it"))
}

/// Cells of a part of our own report.
fn cells(ours: &Value, step: &str, part: &str) -> usize {
    ours[step][part].as_array().unwrap_or_else(|| panic!("no {step}, {part}: {ours}")).len()
}

#[test]
fn a_call_gives_all_it_can_whatever_goes_wrong() {
    let Some(rental) = Rental::new() else { return };
    let call = rental.call("all", &[], &[("OFFRAMP_RENTAL_PLANT", "1")]);
    let steps = call.steps();
    let told = |name: &str| steps.get(name).map(String::as_str);
    assert_eq!(told("planted:failure"), Some("rc 7"), "{}", call.said);
    assert_eq!(told("planted:hang"), Some("rc 124"), "{}", call.said);
    let expected = [
        "machine",
        "probe",
        "answers",
        "suite",
        "forwards",
        "images",
        "kernels",
        "ncu",
        "bf16",
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
    ] {
        assert!(cells(&ours, step, part) > 0, "{step}, {part}");
        assert_eq!(cells(&ours, step, "failed"), 0, "{step}: {ours}");
    }
    let probe = call.json("probe.json");
    assert_eq!(probe["probe"]["faults"], Value::Array(vec![]), "{probe}");
    assert!(call.text("gpu.md").contains("| tiny | 1 x 8 | f16 | easy compact always |"));
    assert!(call.text("ncu.txt").contains("one pass"));
}

/// The ladder holds what the model predicts, whatever has been measured beside it.
#[test]
fn predictions_are_those_of_the_model() {
    if Rental::new().is_none() {
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
    let Some(rental) = Rental::new() else { return };
    let launches: BTreeMap<String, usize> =
        serde_json::from_str(&predicted(&["--launches"])).unwrap();
    assert_eq!(launches.len(), 2, "{launches:?}");
    for (model, expected) in launches {
        let trace = rental.path(&format!("{model}.trace"));
        let mut command = on_interpreter(&rental.path("bin/gpu"));
        command.env("OFFRAMP_SIM_TRACE", &trace);
        let once = ["--bench", "--parts", "once", "--rows", "1", "--models", &model];
        let done = command.args(once).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let calls = std::fs::read_to_string(trace).unwrap();
        assert_eq!(calls.matches("cuLaunchKernel").count(), expected, "{model}");
    }
}

/// The cells of a table's line, each up to the slash before what was measured.
fn without_measured(line: &str) -> String {
    let before = |cell: &str| cell.split('/').next().unwrap_or_default().trim().to_owned();
    line.split('|').map(before).collect::<Vec<_>>().join("|")
}

/// Whether a process is there, and not only its entry that nobody has asked for yet.
fn is_alive(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

/// A failing launch breaks the device in the middle of a bench: what was measured before stays, and
/// what was not says why.
#[test]
fn a_bench_that_breaks_keeps_its_cells() {
    let Some(rental) = Rental::new() else { return };
    let call =
        rental.call("broken", &["again", "kernels"], &[("OFFRAMP_SIM_FAILING_LAUNCH", "120")]);
    assert_eq!(call.steps()["kernels"], "rc 1", "{}", call.said);
    let ours = call.json("ours.json");
    assert!(cells(&ours, "kernels", "kernels") > 0, "{ours}");
    assert!(cells(&ours, "kernels", "failed") > 0, "{ours}");
    assert!(call.text("gpu.md").contains("- failed: ours tiny"));
}

/// A second call runs what it is told, within the time it is given.
#[test]
fn a_second_call_runs_the_steps_it_is_given() {
    let Some(rental) = Rental::new() else { return };
    let call = rental.call("again", &["again", "suite"], &[]);
    let of = |call: &Call| call.steps().into_iter().collect::<Vec<_>>();
    let told = |name: &str, code: &str| (name.to_owned(), code.to_owned());
    assert_eq!(of(&call), [told("suite", "rc 0"), told("table", "skipped")], "{}", call.said);
    assert_eq!(call.code, Some(0), "{}", call.said);
    let call = rental.call("late", &["again", "suite", "--seconds", "10"], &[]);
    assert_eq!(of(&call), [told("suite", "skipped"), told("table", "skipped")]);
    assert_eq!(call.code, Some(1));
    let failed = "alone:errors::a_device,nobody";
    let call = rental.call("alone", &["again", failed, "memcheck:ops::f16::pixels"], &[]);
    let expected =
        [told(failed, "rc 0"), told("memcheck:ops::f16::pixels", "rc 0"), told("table", "skipped")];
    assert_eq!(of(&call), expected, "{}", call.said);
    assert!(call.text("log.txt").contains("1 passed"), "{}", call.said);
    let call = rental.call("unknown", &["again", "sweet"], &[]);
    assert!(call.said.contains("no step sweet; there are: machine, probe"), "{}", call.said);
}
