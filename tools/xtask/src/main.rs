//! Checks and chores of this repository: `cargo xtask --help`.
#![forbid(unsafe_code)]

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
}

fn main() -> ExitCode {
    let complaints = match Args::parse().verb {
        Verb::Tidy => tidy::check(&root()),
    };
    for complaint in &complaints {
        report(complaint);
    }
    if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stderr, reason = "a command that reports to people")]
fn report(complaint: &str) {
    eprintln!("{complaint}");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
