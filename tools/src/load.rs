//! `offramp load`: requests at a server on schedule, and what becomes of them.

pub(crate) mod arrivals;
mod closed;
pub(crate) mod drive;
pub(crate) mod passes;
pub(crate) mod plots;
pub(crate) mod result;
pub(crate) mod search;
mod show;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use offramp::serve::protocol::{InferOptions, Input};
use offramp::{Model, Row};

use crate::agreement::Agreement;
use crate::args::{JsonArg, ModelArg, count, seconds, switch};
use crate::failure::{Failure, Result};
use crate::out::{Out, note, write_whole};
use crate::pictures::PictureRules;
use crate::report;
use crate::rows::{Row as Labelled, read_labelled};
use arrivals::Arrivals;
use drive::{Driven, End, drive};
use plots::Run;
use result::{LoadResult, share_in_time};
use search::Search;

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp load --model DIR --input test.jsonl --rate 500
  offramp load --model DIR --input test.jsonl --rate 500 --arrivals bursty --deadline-ms 20
  offramp load --model DIR --input test.jsonl --rate 200 --trace day.csv --agreement --json
  offramp load --model DIR --input test.jsonl --search --slo-ms 20 --seconds 5 --report load.html
  offramp load --model DIR --input test.jsonl --scenario offline";

/// A run whose requests were sent later than this says nothing of the server.
pub(crate) const LAG_MAX_MS: f64 = 1.0;
/// Requests a second where nothing is said.
const RATE: f64 = 100.0;
/// Rates that a search tries.
const PROBES_MAX: usize = 24;

/// Flags of `load`.
#[derive(Args, Debug)]
pub(crate) struct Load {
    #[command(flatten)]
    model: ModelArg,
    /// Inputs, sent in turn: as for classify
    #[arg(long, value_name = "FILE", env = "OFFRAMP_INPUT")]
    input: PathBuf,
    #[command(flatten)]
    rules: PictureRules,
    /// The server
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7070",
        env = "OFFRAMP_ADDRESS"
    )]
    address: String,
    /// Who waits for whom
    #[arg(long, value_enum, default_value = "server", env = "OFFRAMP_SCENARIO")]
    scenario: Scenario,
    /// Requests a second; the first that --search tries
    #[arg(long, value_name = "N", default_value_t = RATE, env = "OFFRAMP_RATE",
          value_parser = rate)]
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
    /// Search the highest rate of which 99 % are answered within --slo-ms, for --seconds each;
    /// then measure it
    #[arg(long, env = "OFFRAMP_SEARCH", value_parser = switch())]
    search: bool,
    /// Write a report with drawings, one HTML file
    #[arg(long, value_name = "FILE", env = "OFFRAMP_REPORT")]
    report: Option<PathBuf>,
    /// Of the arrivals
    #[arg(long, value_name = "N", default_value = "0", env = "OFFRAMP_SEED")]
    seed: u64,
    #[command(flatten)]
    json: JsonArg,
}

/// `--scenario`, as in MLPerf's LoadGen.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Requests arrive on schedule, whatever comes back
    Server,
    /// One request at a time
    SingleStream,
    /// Eight requests at a time, the next eight once all are answered
    MultiStream,
    /// As many as there is room for
    Offline,
}

/// Runs the verb.
pub(crate) fn run(args: &Load) -> Result<()> {
    args.expect_sense()?;
    let model = Model::open_bare(&args.model.model)?;
    let rows = read_labelled(&args.input, &model, args.rules)?;
    let inputs: Vec<Input<'_>> = rows.iter().map(|row| input(&row.input)).collect();
    let search = args.search.then(|| args.highest(&inputs)).transpose()?;
    let before = passes::by_rows(&args.address)?;
    let driven = args.drive(&inputs, search.as_ref())?;
    let pass_rows = passes::since(&before, passes::by_rows(&args.address)?);
    // A trace may be shorter.
    let last_s = driven.due_s.last().filter(|_| args.trace.is_some()).copied();
    let seconds = last_s.map_or(args.seconds, |last_s| last_s.clamp(1e-3, args.seconds));
    let mut result = LoadResult::of(&driven, args.slo(), seconds);
    result.scenario = args.scenario.name();
    result.pass_rows = pass_rows;
    result.accuracy = accuracy(&driven, &rows, &model);
    result.search = search;
    let full = args.agreement.then(|| full_labels(args, &driven, &inputs)).transpose()?;
    result.agreement = full.as_ref().map(|full| agreement(&driven, full, inputs.len()));
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&result)?
    } else {
        out.line(show::text(&result))?
    }
    if let Some(report) = &args.report {
        write_report(report, args, &result, &driven, full)?;
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

fn write_report(
    path: &Path,
    args: &Load,
    result: &LoadResult,
    driven: &Driven,
    full: Option<Vec<Option<u32>>>,
) -> Result<()> {
    let run = Run { name: "load", driven, pass_rows: &result.pass_rows, full };
    let about = format!("{} asked for {} s", args.address, args.seconds);
    let mut page = String::new();
    report::loads(&mut page, &about, &show::text(result), &[run]);
    write_whole(path, report::html("offramp load", &page).as_bytes())
}

impl Load {
    fn slo(&self) -> Duration {
        Duration::from_millis(self.slo_ms as u64)
    }

    /// A closed loop has no rate.
    fn expect_sense(&self) -> Result<()> {
        let is_on_schedule = self.scenario == Scenario::Server;
        if !is_on_schedule && (self.trace.is_some() || self.search || self.rate != RATE) {
            let message = "--rate, --trace and --search belong to --scenario server: the others \
                           send as soon as they are answered";
            return Err(Failure::Usage(message.to_owned()));
        }
        if self.search && self.trace.is_some() {
            return Err(Failure::Usage("--search tries rates, --trace gives one".to_owned()));
        }
        Ok(())
    }

    /// One load; at the highest rate, where that was searched for.
    fn drive(&self, inputs: &[Input<'_>], search: Option<&Search>) -> Result<Driven> {
        let closed = |connections, in_flight, is_query| {
            let shape = closed::Loop { connections, in_flight, is_query };
            closed::drive(&self.address, shape, inputs, options(self), self.seconds)
        };
        match self.scenario {
            Scenario::SingleStream => closed(1, 1, false),
            Scenario::MultiStream => closed(1, 8, true),
            Scenario::Offline => closed(self.connections, 128, false),
            Scenario::Server => {
                let found = search.map(|search| search.highest_rate_per_s);
                let rate = found.filter(|&rate| rate > 0.0).unwrap_or(self.rate);
                let due_s = match &self.trace {
                    Some(trace) => arrivals::traced(trace, rate, self.seconds)?,
                    None => arrivals::drawn(self.arrivals, rate, self.seconds, self.seed),
                };
                drive(&self.address, self.connections, inputs, options(self), &due_s)
            }
        }
    }

    /// The highest rate of which 99 % are answered within the objective.
    fn highest(&self, inputs: &[Input<'_>]) -> Result<Search> {
        search::highest(self.rate, PROBES_MAX, |rate| {
            let due_s = arrivals::drawn(self.arrivals, rate, self.seconds, self.seed);
            let driven = drive(&self.address, self.connections, inputs, options(self), &due_s)?;
            let lag_max = Duration::from_secs_f64(LAG_MAX_MS / 1e3);
            let share = share_in_time(&driven, self.slo(), lag_max);
            let told = share.map_or("cannot be sent".to_owned(), |s| format!("{:.2} %", 100.0 * s));
            note(format_args!("{rate:.0} a second: {told} within {} ms", self.slo_ms));
            Ok(share)
        })
    }
}

impl Scenario {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::SingleStream => "single-stream",
            Self::MultiStream => "multi-stream",
            Self::Offline => "offline",
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = rate > 0.0 && rate <= 1e6;
    fits.then_some(rate).ok_or_else(|| "must be above 0 and at most 1000000".to_owned())
}

pub(crate) fn input(row: &Row) -> Input<'_> {
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
pub(crate) fn accuracy(driven: &Driven, rows: &[Labelled], model: &Model) -> Option<f64> {
    let labelled = driven.ends.iter().zip(&driven.turns).filter_map(|(end, turn)| {
        let End::Answered(_, verdict) = end else { return None };
        let label = rows[turn % rows.len()].class()?;
        Some(model.label(verdict.label) == label)
    });
    let (right, all) = labelled.fold((0, 0), |(right, all), is| (right + usize::from(is), all + 1));
    (all > 0).then(|| right as f64 / all as f64)
}

/// The full model's label by request, where it gave one.
fn full_labels(args: &Load, driven: &Driven, inputs: &[Input<'_>]) -> Result<Vec<Option<u32>>> {
    let options = InferOptions { exits_off: true, ..InferOptions::default() };
    let shape = closed::Loop { connections: 1, in_flight: 32, is_query: false };
    let asked = driven.turns.iter().max().map_or(0, |&last| inputs.len().min(last + 1));
    let full = closed::all(&args.address, shape, &inputs[..asked], options)?;
    let mut labels = vec![None; inputs.len()];
    for (turn, end) in full.turns.iter().zip(&full.ends) {
        if let End::Answered(_, verdict) = end {
            labels[*turn] = Some(verdict.label);
        }
    }
    Ok(driven.turns.iter().map(|turn| labels[turn % inputs.len()]).collect())
}

/// How often the answers are the full model's, to so many inputs in turn.
pub(crate) fn agreement(driven: &Driven, full: &[Option<u32>], inputs: usize) -> Agreement {
    let (mut rows, mut differ) = (0, 0);
    for (end, full) in driven.ends.iter().zip(full) {
        let (End::Answered(_, early), Some(full)) = (end, full) else { continue };
        rows += 1;
        differ += u64::from(early.label != *full);
    }
    Agreement::repeated(differ, rows, inputs as u64)
}
