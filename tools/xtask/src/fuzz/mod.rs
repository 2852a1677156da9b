//! Throws bytes at the readers of what strangers bring, led by coverage: libFuzzer over
//! `tests/fuzz`. Needs a C++ compiler.

mod dictionary;
mod outcome;
mod targets;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use clap::ValueEnum as _;

use outcome::Outcome;
use targets::Target;

/// Edges and comparisons are counted; a stable compiler does that.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 --cfg fuzzing";
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
/// Where the files of a run lie, in memory.
const MEMORY: &str = "/dev/shm";
/// Most that a target may hold, its corpus and tables included.
const RSS_MB_MAX: u32 = 1024;
/// An input that takes longer counts as a hang.
const INPUT_SECONDS_MAX: u32 = 5;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to throw at
    #[arg(value_enum, required_unless_present = "all")]
    targets: Vec<Target>,
    /// All targets, one after the other
    #[arg(long, conflicts_with = "targets")]
    all: bool,
    /// How long to throw at each
    #[arg(long, value_name = "N", default_value = "60", conflicts_with = "runs")]
    seconds: u64,
    /// How many inputs to throw at each
    #[arg(long, value_name = "N")]
    runs: Option<u64>,
}

/// Complaints; a crash leaves its input under `target/fuzz`.
pub(crate) fn run(root: &Path, args: &Args) -> Vec<String> {
    let targets = if args.all { Target::value_variants() } else { &args.targets };
    if let Err(error) = build(root, targets) {
        return vec![format!("fuzz: {error}")];
    }
    let thrown = targets.iter().map(|target| throw(root, *target, args));
    thrown.filter_map(Result::err).collect()
}

fn build(root: &Path, targets: &[Target]) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--release", "--locked", "--target", TRIPLE, "--target-dir"]);
    build.arg(root.join("target/fuzz")).current_dir(root.join("tests/fuzz"));
    for target in targets {
        build.args(["--bin", &target.name()]);
    }
    match build.env("RUSTFLAGS", COVERAGE).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Throws at one target, and tells what came of it.
fn throw(root: &Path, target: Target, args: &Args) -> Result<(), String> {
    let name = target.name();
    let failed = |error: std::io::Error| format!("fuzz {name}: {error}");
    let fuzz = root.join("target/fuzz");
    let log = fuzz.join(format!("{name}.log"));
    let memory = Path::new(MEMORY).is_dir().then(|| PathBuf::from(MEMORY));
    let own = format!("offramp-fuzz-{name}-{}", std::process::id());
    let folder = memory.unwrap_or_else(std::env::temp_dir).join(own);
    let began = Instant::now();
    let status = start(root, target, args, &fuzz, &log, &folder).map_err(failed);
    // Best effort: a folder that was never made is none to clear up.
    let _ = std::fs::remove_dir_all(&folder);
    let status = status?;
    let text = std::fs::read(&log).map_err(failed)?;
    let outcome = Outcome::of(&String::from_utf8_lossy(&text), began.elapsed());
    crate::report(&format!("{name}: {outcome}"));
    match status.success() {
        true => Ok(()),
        false => Err(format!("fuzz {name}: {status}; {}\n{}", log.display(), outcome.fault())),
    }
}

fn start(
    root: &Path,
    target: Target,
    args: &Args,
    fuzz: &Path,
    log: &Path,
    folder: &Path,
) -> std::io::Result<ExitStatus> {
    let name = target.name();
    let corpus = fuzz.join("corpus").join(&name);
    std::fs::create_dir_all(&corpus)?;
    let words = dictionary::of(root, target.sources());
    let dictionary = fuzz.join(format!("{name}.dict"));
    std::fs::write(&dictionary, &words)?;
    // libFuzzer refuses an empty one.
    let dictionary = (!words.is_empty()).then(|| format!("-dict={}", dictionary.display()));
    let log = File::create(log)?;
    let limit = match args.runs {
        Some(runs) => format!("-runs={runs}"),
        None => format!("-max_total_time={}", args.seconds),
    };
    Command::new(fuzz.join(TRIPLE).join("release").join(&name))
        .arg(&corpus)
        .args(dictionary)
        .arg(format!("-artifact_prefix={}/{name}-", fuzz.display()))
        .arg(format!("-max_len={}", target.bytes_max()))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={RSS_MB_MAX}"))
        .args(["-print_final_stats=1", "-print_pcs=0", &limit])
        .env("OFFRAMP_FUZZ_CORPUS", &corpus)
        .env("OFFRAMP_FUZZ_FOLDER", folder)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
}
