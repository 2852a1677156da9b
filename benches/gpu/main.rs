//! Kernels, exits and whole forwards on a GPU.
//!
//! ```sh
//! cargo bench -p offramp-benches --bench gpu -- --out gpu.json
//! ```
//!
//! Every result is checked against the CPU before it is timed; one that is not right is told of,
//! and the others are still timed. Without `--bench`, which
//! `cargo bench` gives, the program only tries itself out: tiny sizes, and nothing at all where
//! there is no device.

mod answers;
mod case;
mod check;
mod forward;
mod kernels;
mod noise;
mod operands;
mod pass;
mod place;
mod profile;
mod record;
mod report;
mod results;
mod samples;
mod settings;
mod subject;
mod task;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use offramp_kernels::cuda::{Elem, Gpu, ShippedKernel, gpus, shipped_kernels};
use record::Recorder;
use report::{Machine, Report};
use settings::{Args, Part, Settings};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    let args = Args::parse();
    if args.kernels_json {
        return ended(print_kernels());
    }
    let gpu = match gpu(args.device) {
        Ok(gpu) => gpu,
        Err(reason) => {
            note(format_args!("nothing to time: {reason}"));
            return if args.bench { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    ended(run(&args, &gpu))
}

fn ended(result: Result<()>) -> ExitCode {
    match result {
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
    let report = Report::new(Machine::of(gpu), &settings);
    let mut recorder = Recorder::new(report, args.out.clone())?;
    for model in &settings.models {
        if let Some(size) = model.text() {
            if args.has(Part::Kernels) {
                kernels::measure(&settings, model, &size, &mut recorder)?;
            }
            if args.has(Part::Answers) {
                answers::measure(&settings, model, &size, &mut recorder)?;
            }
        }
        if args.has(Part::Forwards) {
            forward::measure(&settings, model, &mut recorder)?;
        }
        if args.has(Part::Once) {
            forward::once(&settings, model)?;
        }
    }
    if recorder.is_empty() && !args.has(Part::Once) {
        return Err("nothing was timed: images have forwards only".into());
    }
    recorder.close()
}

/// By storage format a list of JSON objects, in the order of the kernels.
fn print_kernels() -> Result<()> {
    let of = |kernel: ShippedKernel| {
        let ShippedKernel { entry, file, threads, shared_bytes_max } = kernel;
        serde_json::json!({
            "entry": entry,
            "file": file,
            "threads": threads,
            "shared_bytes_max": shared_bytes_max,
        })
    };
    let kernels: BTreeMap<_, Vec<_>> = [Elem::F16, Elem::Bf16, Elem::Tf32]
        .map(|elem| (elem.name(), shipped_kernels(elem).map(of).collect()))
        .into();
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&kernels)?)?)
}

/// A line for whoever watches.
fn note(line: std::fmt::Arguments<'_>) {
    // Nobody to tell where stderr is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}
