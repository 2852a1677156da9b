//! Kernels, exits and whole forwards on a GPU.
//!
//! ```sh
//! cargo bench --bench gpu -- --out gpu.json
//! ```
//!
//! Every result is checked against the CPU before it is timed. Without `--bench`, which
//! `cargo bench` gives, the program only tries itself out: tiny sizes, and nothing at all where
//! there is no device.

mod answers;
mod case;
mod check;
mod forward;
mod kernels;
mod noise;
mod pass;
mod profile;
mod report;
mod samples;
mod settings;
mod task;

use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use offramp_kernels::cuda::{Gpu, gpus};
use report::{Machine, Report};
use settings::{Args, Part, Settings};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let args = Args::parse();
    let gpu = match gpu(args.device) {
        Ok(gpu) => gpu,
        Err(reason) => {
            note(format_args!("nothing to time: {reason}"));
            return if args.bench { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match run(&args, &gpu) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn gpu(ordinal: usize) -> Result<Gpu, String> {
    let gpus = gpus().map_err(|reason| reason.to_string())?;
    let count = gpus.len();
    let gpu = gpus.into_iter().nth(ordinal).ok_or(format!("no device {ordinal} of {count}"))?;
    match gpu.refusal() {
        Some(refusal) => Err(format!("{}: {refusal}", gpu.name)),
        None => Ok(gpu),
    }
}

fn run(args: &Args, gpu: &Gpu) -> Result<()> {
    let settings = Settings::new(args);
    let mut report = Report::new(Machine::of(gpu), &settings);
    for model in &settings.models {
        if args.has(Part::Kernels) {
            report.kernels.extend(kernels::measure(&settings, model)?);
        }
        if args.has(Part::Answers) {
            report.answers.extend(answers::measure(&settings, model)?);
        }
        if args.has(Part::Forwards) {
            report.forwards.extend(forward::measure(&settings, model)?);
        }
    }
    report.write(args.out.as_deref())
}

/// A line for whoever watches.
fn note(line: std::fmt::Arguments<'_>) {
    // Nobody to tell where stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}
