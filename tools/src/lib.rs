//! The `offramp` command: one file per verb, and this one, which parses, dispatches and turns
//! what went wrong into a sentence and an exit code. A library, so that fuzz targets reach the
//! readers of files that people bring.
#![forbid(unsafe_code)]

mod adapt;
mod address;
mod agreement;
mod answers;
mod args;
mod bench;
mod chart;
mod classify;
mod compare;
mod config;
mod convert;
mod demo;
mod devices;
mod evaluate;
mod failure;
mod files;
mod fit;
mod fit_thresholds;
mod given;
mod html;
mod inspect;
mod lines;
mod load;
mod log;
mod needless;
mod open;
mod out;
mod pictures;
mod profile;
mod progress;
mod quality;
mod race;
#[doc(hidden)]
pub mod readers;
mod record;
mod report;
mod rows;
mod serve;
mod shipped;
mod stream;
mod svg;
mod table;
mod text;
mod train_ramps;
mod tune;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::{Failure, Result};

/// Runs transformers and CNNs with early exits.
#[derive(Parser, Debug)]
#[command(name = "offramp", version, propagate_version = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show early exits on the shipped models
    #[command(after_long_help = demo::EXAMPLES)]
    Demo(demo::Demo),
    /// Label lines of JSON or text, or images
    #[command(after_long_help = classify::EXAMPLES)]
    Classify(classify::Classify),
    /// Train early exits for a model
    #[command(after_long_help = train_ramps::EXAMPLES)]
    TrainRamps(train_ramps::TrainRamps),
    /// Fit thresholds of trained ramps to another goal
    #[command(after_long_help = fit_thresholds::EXAMPLES)]
    FitThresholds(fit_thresholds::FitThresholds),
    /// Compare searches for thresholds on recorded rows
    #[command(after_long_help = tune::EXAMPLES)]
    Tune(tune::Tune),
    /// Serve a model over TCP
    #[command(after_long_help = serve::EXAMPLES)]
    Serve(serve::Serve),
    /// Send requests to a server on schedule, and tell what became of them
    #[command(after_long_help = load::EXAMPLES)]
    Load(load::Load),
    /// Tell what early exits change on a file of inputs
    #[command(after_long_help = evaluate::EXAMPLES)]
    Evaluate(evaluate::Evaluate),
    /// Measure throughput and latency of the engine
    #[command(after_long_help = bench::EXAMPLES)]
    Bench(bench::Bench),
    /// Tell what a model is and what it costs
    #[command(after_long_help = inspect::EXAMPLES)]
    Inspect(inspect::Inspect),
    /// Make a model folder of a CNN's weights
    #[command(after_long_help = convert::EXAMPLES)]
    Convert(convert::Convert),
    /// Make a video-like stream of labelled images
    #[command(after_long_help = stream::EXAMPLES)]
    Stream(stream::Stream),
    /// Tell what there is to run on
    #[command(after_long_help = devices::EXAMPLES)]
    Devices(devices::Devices),
    /// Measure every segment and ramp on this machine
    #[command(after_long_help = profile::EXAMPLES)]
    Profile(profile::Profile),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let _told = log::End;
    match config::parse().and_then(|cli: Cli| dispatch(&cli.verb)) {
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
        Verb::Demo(args) => demo::run(args),
        Verb::Classify(args) => classify::run(args),
        Verb::TrainRamps(args) => train_ramps::run(args),
        Verb::FitThresholds(args) => fit_thresholds::run(args),
        Verb::Tune(args) => tune::run(args),
        Verb::Serve(args) => serve::run(args),
        Verb::Load(args) => load::run(args),
        Verb::Evaluate(args) => evaluate::run(args),
        Verb::Bench(args) => bench::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Convert(args) => convert::run(args),
        Verb::Stream(args) => stream::run(args),
        Verb::Devices(args) => devices::run(args),
        Verb::Profile(args) => profile::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_its_twin_in_the_environment() {
        let cli = Cli::command();
        for verb in cli.get_subcommands() {
            check_twins(verb);
        }
    }

    fn check_twins(verb: &Command) {
        let built_in = ["help", "version"];
        let flags = verb.get_arguments().filter(|arg| !built_in.contains(&arg.get_id().as_str()));
        for flag in flags {
            let name = flag.get_long().unwrap_or_default();
            let twin = format!("OFFRAMP_{}", name.replace('-', "_").to_uppercase());
            let found = flag.get_env().and_then(|twin| twin.to_str()).unwrap_or_default();
            assert_eq!(found, twin, "{} --{name}", verb.get_name());
        }
    }

    #[test]
    fn every_verb_shows_examples() {
        for verb in Cli::command().get_subcommands() {
            let examples = verb.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            let call = format!("  offramp {}", verb.get_name());
            let shows = examples.starts_with("Examples:") && examples.contains(call.trim_start());
            assert!(shows, "{}", verb.get_name());
        }
    }
}
