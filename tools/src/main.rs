//! The `offramp` command: one file per verb, and this one, which parses, dispatches and turns
//! what went wrong into a sentence and an exit code.
#![forbid(unsafe_code)]

mod agreement;
mod args;
mod classify;
mod failure;
mod lines;
mod open;
mod out;
mod progress;
mod rows_io;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, Result};

/// Runs transformers with early exits.
#[derive(Parser, Debug)]
#[command(name = "offramp", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Label lines of JSON or text
    #[command(after_long_help = classify::EXAMPLES)]
    Classify(classify::Classify),
}

fn main() -> ExitCode {
    match dispatch(&Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Closed) {
                out::note(format_args!("error: {}", failure.chain()));
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

fn dispatch(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Classify(args) => classify::run(args),
    }
}
