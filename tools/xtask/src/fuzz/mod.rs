//! Throws frames at the protocol, led by coverage: libFuzzer over `tests/fuzz`. Needs a C++
//! compiler.

use std::path::Path;
use std::process::{Command, ExitStatus};

/// Edges and comparisons are counted; a stable compiler does that.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 --cfg fuzzing";
const TARGET: &str = "x86_64-unknown-linux-gnu";
const GOLDEN: &str = "engine/src/serve/protocol/golden.txt";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long to throw
    #[arg(long, value_name = "N", default_value = "60")]
    seconds: u64,
}

/// Complaints; a crash leaves its input under `target/fuzz`.
pub(crate) fn run(root: &Path, args: &Args) -> Vec<String> {
    let result = build(root).and_then(|()| seed(root)).and_then(|()| throw(root, args));
    result.err().map(|error| format!("fuzz: {error}")).into_iter().collect()
}

fn build(root: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--locked", "--target", TARGET, "--target-dir"];
    done(
        Command::new(cargo)
            .args(build)
            .arg(root.join("target/fuzz"))
            .current_dir(root.join("tests/fuzz"))
            .env("RUSTFLAGS", COVERAGE)
            .status(),
    )
}

/// Begins with the frames whose bytes are committed.
fn seed(root: &Path) -> Result<(), String> {
    let corpus = root.join("target/fuzz/corpus");
    std::fs::create_dir_all(&corpus).map_err(|error| error.to_string())?;
    let golden = std::fs::read_to_string(root.join(GOLDEN)).map_err(|error| error.to_string())?;
    for (index, line) in golden.lines().enumerate() {
        let hex = line.rsplit(' ').next().unwrap_or_default();
        let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("?"), 16);
        let bytes: Result<Vec<u8>, _> = (0..hex.len()).step_by(2).map(byte).collect();
        let bytes = bytes.map_err(|_| format!("{GOLDEN}:{}: not hexadecimal", index + 1))?;
        std::fs::write(corpus.join(format!("golden-{index}")), bytes)
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn throw(root: &Path, args: &Args) -> Result<(), String> {
    let fuzz = root.join("target/fuzz");
    done(
        Command::new(fuzz.join(TARGET).join("release/frames"))
            .arg(fuzz.join("corpus"))
            .args(["-max_len=512", "-timeout=1", "-rss_limit_mb=512", "-print_final_stats=1"])
            .args(["-print_pcs=0", "-verbosity=0"])
            .arg(format!("-artifact_prefix={}/", fuzz.display()))
            .arg(format!("-max_total_time={}", args.seconds))
            .status(),
    )
}

fn done(status: std::io::Result<ExitStatus>) -> Result<(), String> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
