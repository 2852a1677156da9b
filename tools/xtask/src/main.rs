//! Checks and chores of this repository: `cargo xtask --help`.
#![forbid(unsafe_code)]

mod gpu_bundle;
mod ptx;
mod source;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Checks and chores of this repository")]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Checks what the compiler does not: sizes, docs, crate arrows, stray words.
    Tidy,
    /// Compiles the kernels to `kernels/ptx`, and measures them. Needs no GPU.
    Ptx(ptx::Args),
    /// Packs what a machine with a GPU needs to test and time the CUDA device.
    GpuBundle(gpu_bundle::Args),
    /// Compiles one kernel from standard input; `ptx` calls it where NVRTC can be loaded.
    #[command(hide = true)]
    Nvrtc(ptx::nvrtc::Args),
}

fn main() -> ExitCode {
    let complaints = match Args::parse().verb {
        Verb::Tidy => tidy::check(&root()),
        Verb::Ptx(args) => ptx::run(&root(), &args),
        Verb::GpuBundle(args) => gpu_bundle::run(&root(), &args),
        Verb::Nvrtc(args) => ptx::nvrtc::serve(&args).err().into_iter().collect(),
    };
    for complaint in &complaints {
        report(complaint);
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stderr, reason = "a command that reports to people")]
fn report(line: &str) {
    eprintln!("{line}");
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}
