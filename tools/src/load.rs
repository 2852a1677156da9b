//! `offramp load`: requests at a server on schedule, and what becomes of them.

mod arrivals;
mod drive;
mod result;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use offramp::serve::protocol::{InferOptions, Input};
use offramp::{Model, Row};

use crate::agreement::Agreement;
use crate::args::{JsonArg, ModelArg, count, seconds, switch};
use crate::failure::{Failure, Result};
use crate::out::Out;
use crate::rows::{Row as Labelled, read_all};
use crate::table::{Table, digits, ms};
use arrivals::Arrivals;
use drive::{Driven, End, drive};
use result::LoadResult;

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp load --model DIR --input test.jsonl --rate 500
  offramp load --model DIR --input test.jsonl --rate 500 --arrivals bursty --deadline-ms 20
  offramp load --model DIR --input test.jsonl --rate 200 --trace day.csv --agreement --json";

/// A run whose requests were sent later than this says nothing of the server.
const LAG_MAX_MS: f64 = 1.0;

/// Flags of `load`.
#[derive(Args, Debug)]
pub(crate) struct Load {
    #[command(flatten)]
    model: ModelArg,
    /// Inputs, sent in turn: as for classify
    #[arg(long, value_name = "FILE", env = "OFFRAMP_INPUT")]
    input: PathBuf,
    /// The server
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7070",
        env = "OFFRAMP_ADDRESS"
    )]
    address: String,
    /// Requests a second
    #[arg(long, value_name = "N", default_value = "100", env = "OFFRAMP_RATE", value_parser = rate)]
    rate: f64,
    /// How long
    #[arg(long, value_name = "S", default_value = "10", env = "OFFRAMP_SECONDS",
          value_parser = seconds)]
    seconds: f64,
    /// How requests are spaced
    #[arg(long, value_enum, default_value = "poisson", env = "OFFRAMP_ARRIVALS")]
    arrivals: Arrivals,
    /// Space them as this trace does, a time in the first column of each line
    #[arg(long, value_name = "FILE", env = "OFFRAMP_TRACE", conflicts_with = "arrivals")]
    trace: Option<PathBuf>,
    /// Connections
    #[arg(long, value_name = "N", default_value = "4", env = "OFFRAMP_CONNECTIONS",
          value_parser = count())]
    connections: usize,
    /// What the server is told an answer is of use within [default: nothing]
    #[arg(long, value_name = "N", env = "OFFRAMP_DEADLINE_MS", value_parser = count())]
    deadline_ms: Option<usize>,
    /// An answer within this counts as goodput, milliseconds
    #[arg(long, value_name = "N", default_value = "50", env = "OFFRAMP_SLO_MS",
          value_parser = count())]
    slo_ms: usize,
    /// Ask for the full model
    #[arg(long, env = "OFFRAMP_EXITS_OFF", value_parser = switch())]
    exits_off: bool,
    /// Afterwards ask for the full model's answers, and compare
    #[arg(long, env = "OFFRAMP_AGREEMENT", value_parser = switch())]
    agreement: bool,
    /// Of the arrivals
    #[arg(long, value_name = "N", default_value = "0", env = "OFFRAMP_SEED")]
    seed: u64,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the verb.
pub(crate) fn run(args: &Load) -> Result<()> {
    let model = Model::open_bare(&args.model.model)?;
    let rows = read_all(&args.input, &model)?;
    let inputs: Vec<Input<'_>> = rows.iter().map(|row| input(&row.input)).collect();
    let due_s = match &args.trace {
        Some(trace) => arrivals::traced(trace, args.rate, args.seconds)?,
        None => arrivals::drawn(args.arrivals, args.rate, args.seconds, args.seed),
    };
    let driven = drive(&args.address, args.connections, &inputs, options(args), &due_s)?;
    let slo = Duration::from_millis(args.slo_ms as u64);
    let mut result = LoadResult::of(&driven, slo, args.seconds);
    result.accuracy = accuracy(&driven, &rows, &model);
    if args.agreement {
        result.agreement = Some(agreement(args, &driven, &inputs)?);
    }
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&result)?
    } else {
        show(&result, &mut out)?
    }
    out.flush()?;
    if result.send_lag_p99_ms > LAG_MAX_MS {
        return Err(Failure::Failed(format!(
            "invalid: 1 % of the requests were sent more than {:.1} ms late (at most {LAG_MAX_MS} \
             ms); this machine cannot send that fast",
            result.send_lag_p99_ms
        )));
    }
    Ok(())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = rate > 0.0 && rate <= 1e6;
    fits.then_some(rate).ok_or_else(|| "must be above 0 and at most 1000000".to_owned())
}

fn input(row: &Row) -> Input<'_> {
    match row {
        Row::Text(row) => Input::Tokens(row.clone()),
        Row::Image(pixels) => Input::Image(pixels),
    }
}

fn options(args: &Load) -> InferOptions {
    InferOptions {
        exits_off: args.exits_off,
        deadline_us: args.deadline_ms.map(|ms| (ms as u32).saturating_mul(1000)),
        ..InferOptions::default()
    }
}

/// Share of the labelled inputs answered with their label.
fn accuracy(driven: &Driven, rows: &[Labelled], model: &Model) -> Option<f64> {
    let labelled = driven.ends.iter().enumerate().filter_map(|(index, end)| {
        let End::Answered(_, verdict) = end else { return None };
        let label = rows[index % rows.len()].label.as_deref()?;
        Some(model.label(verdict.label) == label)
    });
    let (right, all) = labelled.fold((0, 0), |(right, all), is| (right + usize::from(is), all + 1));
    (all > 0).then(|| right as f64 / all as f64)
}

/// Asks for the full model's answer to every input that was answered, and compares.
fn agreement(args: &Load, driven: &Driven, inputs: &[Input<'_>]) -> Result<Agreement> {
    let options = InferOptions { exits_off: true, ..InferOptions::default() };
    let sent = inputs.len().min(driven.ends.len());
    let due_s: Vec<f64> = (0..sent).map(|index| index as f64 / args.rate).collect();
    let full = drive(&args.address, args.connections, &inputs[..sent], options, &due_s)?;
    let (mut rows, mut differ) = (0, 0);
    for (index, end) in driven.ends.iter().enumerate() {
        let pair = (end, &full.ends[index % sent]);
        let (End::Answered(_, early), End::Answered(_, full)) = pair else { continue };
        rows += 1;
        differ += u64::from(early.label != full.label);
    }
    Ok(Agreement::counted(differ, rows))
}

fn show(result: &LoadResult, out: &mut Out) -> Result<()> {
    out.line(format_args!(
        "{} requests in {:.1} s ({:.1} a second): {} answered ({:.1} a second), {:.1} a second \
         within {} ms",
        result.sent,
        result.elapsed_s,
        result.offered_per_s,
        result.ok,
        result.answered_per_s,
        result.goodput_per_s,
        result.slo_ms,
    ))?;
    for (end, requests) in &result.failed {
        out.line(format_args!("{requests} {end}"))?;
    }
    let mut table = Table::new(&["latency", "", "95 % interval"]);
    for (name, percentile) in &result.latency {
        let interval = format!("{} to {}", ms(percentile.low_ms), ms(percentile.high_ms));
        table.texts([name.clone(), ms(percentile.ms), interval]);
    }
    out.line(table)?;
    let exits: Vec<String> =
        result.exits.iter().map(|(exit, answers)| format!("{exit}: {answers}")).collect();
    out.line(format_args!("answers by exit: {}", exits.join(", ")))?;
    out.line(format_args!(
        "mean depth {:.3}; mean wait {}, mean compute {}; sent late by {} at p99, {} at most",
        result.mean_depth,
        ms(result.queue_mean_ms),
        ms(result.compute_mean_ms),
        ms(result.send_lag_p99_ms),
        ms(result.send_lag_max_ms),
    ))?;
    if let Some(accuracy) = result.accuracy {
        out.line(format_args!("accuracy {}", digits(100.0 * accuracy, "%")))?;
    }
    if let Some(agreement) = result.agreement {
        out.line(format_args!(
            "agreement with the full model: {:.2} %, at least {:.2} % (n = {}, {} differ)",
            100.0 * agreement.agreement,
            100.0 * agreement.agreement_at_least,
            agreement.rows,
            agreement.disagreements,
        ))?;
    }
    Ok(())
}
