//! Checks and chores of this repository: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod fuzz;
mod gpu_bundle;
mod modules;
mod ptx;
mod source;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Checks and chores of this repository")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Checks what the compiler does not: sizes, docs, arrows of crates and modules.
    Tidy,
    /// Compiles the kernels to `kernels/ptx`, and measures them. Needs no GPU.
    Ptx(ptx::Args),
    /// Packs what a machine with a GPU needs to test and time the CUDA device.
    GpuBundle(gpu_bundle::Args),
    /// Throws bytes at a reader of what strangers bring, led by coverage.
    Fuzz(fuzz::Args),
    /// Runs a server at full size for some minutes, and prints what was measured.
    Soak,
    /// Compiles one kernel from standard input; `ptx` calls it where NVRTC can be loaded.
    #[command(hide = true)]
    Nvrtc(ptx::nvrtc::Args),
}

fn main() -> ExitCode {
    let complaints = match Args::parse().verb {
        Verb::Tidy => tidy::check(&root()),
        Verb::Ptx(args) => ptx::run(&root(), &args),
        Verb::GpuBundle(args) => gpu_bundle::run(&root(), &args),
        Verb::Fuzz(args) => fuzz::run(&root(), &args),
        Verb::Soak => soak(&root()),
        Verb::Nvrtc(args) => ptx::nvrtc::serve(&args).err().into_iter().collect(),
    };
    for complaint in &complaints {
        report(complaint);
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The tests that take minutes, one after the other.
fn soak(root: &Path) -> Vec<String> {
    let test = ["test", "--release", "-p", "offramp-tools", "--test", "cli", "soak::"];
    let how = ["--", "--ignored", "--nocapture", "--test-threads", "1"];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Command::new(cargo).args(test).args(how).current_dir(root).status();
    match run {
        Ok(status) if status.success() => Vec::new(),
        Ok(status) => vec![format!("soak: {status}")],
        Err(error) => vec![format!("soak: {error}")],
    }
}

#[expect(clippy::print_stderr, reason = "a command that reports to people")]
fn report(line: &str) {
    eprintln!("{line}");
}

/// The repository that cargo runs this for: copies of it may share a target folder, and so this
/// program.
fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    let package = package.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&package).join("../..");
    root.canonicalize().unwrap_or(root)
}
