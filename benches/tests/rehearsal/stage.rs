//! A bundle, tools, and calls of `run.sh` with them.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde_json::Value;

/// Stands in for the tools of CUDA: skips what comes before the program, and runs that.
const TOOL: &str = "while [ \"${1#/}\" = \"$1\" ]; do shift; done\nexec \"$@\"";

/// A bundle of programs, tools and a place for results.
pub(crate) struct Rehearsal {
    folder: tempfile::TempDir,
}

/// What a call left behind.
pub(crate) struct Call {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    pub(crate) out: PathBuf,
}

impl Rehearsal {
    /// `None` where there is no Python, which the call is made of.
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    pub(crate) fn new() -> Option<Self> {
        let python = Command::new("python3").arg("--version").stdout(Stdio::null()).status();
        if !python.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no python3");
            return None;
        }
        let rehearsal = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(rehearsal.path("bin")).unwrap();
        let test = std::env::current_exe().unwrap();
        let deps = test.parent().unwrap();
        for name in ["cuda", "cuda_tf32", "gpu"] {
            symlink(newest(deps, name), rehearsal.path("bin").join(name)).unwrap();
        }
        let offramp = deps.parent().unwrap().join("offramp");
        assert!(offramp.exists(), "{}: not built", offramp.display());
        symlink(offramp, rehearsal.path("bin/offramp")).unwrap();
        for name in ["ncu", "compute-sanitizer"] {
            rehearsal.script(&format!("tools/{name}"), TOOL);
        }
        Some(rehearsal)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `run.sh`, on the interpreter's driver.
    pub(crate) fn command(&self) -> Command {
        let mut command = on_interpreter(&root().join("benches/gpu/run.sh"));
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.path("tools").display()));
        command.env_remove("OUT").current_dir(self.folder.path());
        command
    }

    /// A whole call with these arguments and all programs.
    pub(crate) fn call(&self, out: &str, args: &[&str], settings: &[(&str, &str)]) -> Call {
        let mut command = self.command();
        command.envs(settings.iter().copied());
        let out = self.path(out);
        command.args(args).arg("--tiny").arg("--bundle").arg(self.path("bin"));
        let done = command.arg("--out").arg(&out).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        Call { code: done.status.code(), said: said.into_owned(), out }
    }

    /// The kernels that a process with one pass of a tiny model launches, as the driver calls them.
    pub(crate) fn launches(&self, model: &str, rows: &str) -> Vec<String> {
        let trace = self.path(&format!("{model}.{rows}.trace"));
        let mut command = on_interpreter(&self.path("bin/gpu"));
        command.env("OFFRAMP_SIM_TRACE", &trace);
        let once = ["--bench", "--parts", "once", "--rows", rows, "--models", model];
        let done = command.args(once).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let calls = std::fs::read_to_string(trace).unwrap();
        let launches = calls.lines().filter(|call| call.starts_with("cuLaunchKernel"));
        let kernel = |call: &str| {
            let (_, rest) = call.split_once("function: ").unwrap();
            rest.split(',').next().unwrap().to_owned()
        };
        launches.map(kernel).collect()
    }

    /// A call that is refused: its only line, but for what the usage is.
    pub(crate) fn refused(&self, args: &[&str]) -> String {
        let done = self.command().args(args).arg("--tiny").output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(!done.status.success(), "{args:?}: {said}");
        assert!(!said.contains("Traceback"), "{args:?}: {said}");
        said.lines().last().unwrap_or_default().to_owned()
    }

    /// A program or tool that runs this line of a shell.
    pub(crate) fn script(&self, name: &str, line: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
}

impl Call {
    pub(crate) fn text(&self, name: &str) -> String {
        let path = self.out.join(name);
        let read = std::fs::read_to_string(&path);
        read.unwrap_or_else(|error| panic!("{}: {error}\n{}", path.display(), self.said))
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// How each step ended, by its name: `rc 0`, `skipped`.
    pub(crate) fn steps(&self) -> BTreeMap<String, String> {
        let step = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            let code = if words[1] == "rc" { words[1..3].join(" ") } else { words[1].to_owned() };
            (words[0].to_owned(), code)
        };
        self.text("steps.txt").lines().map(step).collect()
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program with nothing of this process's settings but the interpreter's driver.
pub(crate) fn on_interpreter(program: &Path) -> Command {
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
pub(crate) fn predicted(args: &[&str]) -> String {
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

/// Whether a process is there, and not only its entry that nobody has asked for yet.
pub(crate) fn is_alive(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}
