//! `offramp load`: requests at a server on schedule, and what becomes of them.

pub(crate) mod arrivals;
mod closed;
pub(crate) mod drive;
mod lane;
pub(crate) mod late;
pub(crate) mod passes;
pub(crate) mod plots;
mod question;
pub(crate) mod result;
pub(crate) mod search;
mod served;
mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use offramp::{Decision, Model, Row, TokenRow};
use offramp_protocol::{InferOptions, Input, Tokens};

use crate::agreement::Agreement;
use crate::answers::decided;
use crate::args::{JsonArg, ModelArg, count, seconds, switch, tolerance};
use crate::failure::{Failure, Result};
use crate::files::Files;
use crate::given::Given;
use crate::html;
use crate::out::{Out, note, write_whole};
use crate::pictures::PictureRules;
use crate::quality::Quality;
use crate::rows::{Row as Labelled, read_labelled};
use arrivals::Arrivals;
use drive::{Driven, End, drive};
use lane::PATIENCE;
use plots::Run;
use result::{LoadResult, tried};
use search::{Search, Tried};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp load --model DIR --input test.jsonl --rate 500
  offramp load --model DIR --input test.jsonl --rate 500 --arrivals bursty --deadline-ms 20
  offramp load --model DIR --input test.jsonl --rate 200 --trace day.csv --agreement --json
  offramp load --model DIR --input test.jsonl --search --slo-ms 20 --seconds 5 --report load.html
  offramp load --model DIR --input test.jsonl --scenario offline

Latency counts from when a request was due. A connection that breaks is made again; after ten
seconds without a server the load stops, and tells what it has seen.

Exit codes: 0 ended well; 1 failure, or the figures are not the server's alone: too many requests
were sent late (by more than 1 ms and a tenth of the objective, which is --slo-ms or a shorter
--deadline-ms), the server was lost, nothing was answered, or --search found no rate that was held
twice. Then output, JSON and report say so too; 2 bad options.";

/// Requests a second where nothing is said.
const RATE: f64 = 100.0;
/// An answer is expected within so many milliseconds where nothing is said.
const SLO_MS: usize = 50;
/// Rates that a search tries.
const PROBES_MAX: usize = 24;

/// Flags of `load`.
#[derive(Args, Debug)]
pub(crate) struct Load {
    #[command(flatten)]
    given: Given,
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
    /// Space them as this trace does: a header, then a time in the first column of each line, as in
    /// 2023-11-16 18:17:03.9799600
    #[arg(long, value_name = "FILE", env = "OFFRAMP_TRACE", conflicts_with = "arrivals")]
    trace: Option<PathBuf>,
    /// Connections
    #[arg(long, value_name = "N", default_value = "4", env = "OFFRAMP_CONNECTIONS",
          value_parser = count())]
    connections: usize,
    /// What the server is told an answer is of use within [default: nothing]
    #[arg(long, value_name = "N", env = "OFFRAMP_DEADLINE_MS", value_parser = count())]
    deadline_ms: Option<usize>,
    /// An answer within this counts as goodput, milliseconds [default: as --deadline-ms, or 50]
    #[arg(long, value_name = "N", env = "OFFRAMP_SLO_MS", value_parser = count())]
    slo_ms: Option<usize>,
    /// Ask for the full model
    #[arg(long, env = "OFFRAMP_EXITS_OFF", value_parser = switch())]
    exits_off: bool,
    /// Afterwards ask for the full model's answers, and compare
    #[arg(long, env = "OFFRAMP_AGREEMENT", value_parser = switch())]
    agreement: bool,
    /// For a model that gives a number: how far apart the sigmoids of two numbers may be that count
    /// as the same answer [default: 0.02]
    #[arg(long, value_name = "X", env = "OFFRAMP_TOLERANCE", value_parser = tolerance,
          requires = "agreement")]
    tolerance: Option<f32>,
    /// Search the highest rate of which 99 % are answered within --slo-ms, for --seconds each;
    /// then run it again, and lower ones until one is held again
    #[arg(long, env = "OFFRAMP_SEARCH", value_parser = switch())]
    search: bool,
    /// Write a report with drawings, one HTML file
    #[arg(long, value_name = "FILE", env = "OFFRAMP_REPORT")]
    report: Option<PathBuf>,
    /// Seed of the times at which requests are due
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
    let read = Files::default().model(&args.model.model, &[]).read("--input", &args.input);
    let read = read.read("--trace", args.trace.as_ref());
    read.written("--report", args.report.as_ref()).check()?;
    let model = Model::open_bare(&args.model.model)?;
    served::expect_model(&args.address, &model)?;
    let rows = read_labelled(&args.input, &model, args.rules)?;
    let inputs: Vec<Input<'_>> = rows.iter().map(|row| input(&row.input)).collect();
    let mut asker = Asker { args, inputs: &inputs, last: None };
    let search = args.search.then(|| asker.search()).transpose()?;
    let Measured { driven, pass_rows } = match asker.last {
        Some(last) => last,
        None => asker.ask(args.rate, args.seed)?,
    };
    // A trace may be shorter.
    let last_s = driven.due_s.last().filter(|_| args.trace.is_some()).copied();
    let seconds = last_s.map_or(args.seconds, |last_s| last_s.clamp(1e-3, args.seconds));
    let mut result = LoadResult::of(&driven, args.slo(), seconds, args.lag_max());
    result.scenario = args.scenario.name();
    result.pass_rows = pass_rows;
    result.quality = quality(&driven, &rows, &model);
    result.search = search;
    result.judge();
    let decision = model.decision(args.tolerance)?;
    let full = if args.agreement { full_answers(args, &driven, &inputs, &model) } else { None };
    let same = full.map(|full| compared(&driven, &full, &model, decision));
    let counted = same.as_ref().map(|same| agreement(same, inputs.len()));
    result.agreement = counted.filter(|agreement| agreement.rows > 0);
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&result)?
    } else {
        out.line(show::text(&result))?
    }
    out.flush()?;
    write_report(args, &result, &driven, same)?;
    match result.is_valid {
        true => Ok(()),
        false => Err(Failure::Failed(format!("invalid: {}", result.problems.join("; ")))),
    }
}

/// Where that was asked for.
fn write_report(
    args: &Load,
    result: &LoadResult,
    driven: &Driven,
    same: Option<Vec<Option<bool>>>,
) -> Result<()> {
    let Some(path) = &args.report else { return Ok(()) };
    let run = Run { name: "load", driven, pass_rows: &result.pass_rows, same };
    let about = format!("{} asked for {} s", args.address, args.seconds);
    let mut page = String::new();
    plots::section(&mut page, &about, &show::html(result), &[run]);
    write_whole(path, html::page("offramp load", &page).as_bytes())
}

impl Load {
    fn slo(&self) -> Duration {
        let ms = self.slo_ms.or(self.deadline_ms).unwrap_or(SLO_MS);
        Duration::from_millis(ms as u64)
    }

    /// How late a request may be sent.
    fn lag_max(&self) -> Duration {
        let deadline = self.deadline_ms.map(|ms| Duration::from_millis(ms as u64));
        late::limit(deadline.map_or(self.slo(), |deadline| deadline.min(self.slo())))
    }

    /// Refuses flags that nothing would come of.
    fn expect_sense(&self) -> Result<()> {
        let given = &self.given;
        let scenario = format!("with --scenario {}", self.scenario.name());
        let is_closed = self.scenario != Scenario::Server;
        let of_schedule = ["rate", "trace", "search", "arrivals", "seed"];
        let answered = format!("{scenario}, which sends as soon as it is answered");
        given.refuse(is_closed, &of_schedule, &answered)?;
        let is_single = matches!(self.scenario, Scenario::SingleStream | Scenario::MultiStream);
        given.refuse(is_single, &["connections"], &format!("{scenario}, which has one"))?;
        given.refuse(self.trace.is_some(), &["seed"], "with --trace, which draws nothing")?;
        let is_even = self.arrivals == Arrivals::Constant && self.scenario == Scenario::Server;
        given.refuse(is_even, &["seed"], "with --arrivals constant, which draws nothing")?;
        let itself = "with --exits-off, which asks for the full model already";
        given.refuse(self.exits_off, &["agreement"], itself)?;
        if self.search && self.trace.is_some() {
            return Err(Failure::Usage("--search tries rates, --trace gives one".to_owned()));
        }
        Ok(())
    }
}

/// A load, and what the server says of its passes meanwhile.
struct Measured {
    driven: Driven,
    pass_rows: BTreeMap<u64, u64>,
}

/// Loads the server, once or often.
struct Asker<'a> {
    args: &'a Load,
    inputs: &'a [Input<'a>],
    /// The load before.
    last: Option<Measured>,
}

impl Asker<'_> {
    /// One load; a closed loop has no rate.
    fn ask(&self, rate: f64, seed: u64) -> Result<Measured> {
        let address = &self.args.address;
        let before = passes::by_rows(address)?;
        let driven = self.drive(rate, seed)?;
        // Nothing is known of the passes of a server that is gone.
        let after = passes::by_rows(address).unwrap_or_default();
        Ok(Measured { driven, pass_rows: passes::since(&before, after) })
    }

    fn drive(&self, rate: f64, seed: u64) -> Result<Driven> {
        let Self { args, inputs, .. } = self;
        let closed = |connections, in_flight, is_query| {
            let shape = closed::Loop { connections, in_flight, is_query, patience: PATIENCE };
            closed::drive(&args.address, shape, inputs, options(args), args.seconds)
        };
        match args.scenario {
            Scenario::SingleStream => closed(1, 1, false),
            Scenario::MultiStream => closed(1, 8, true),
            Scenario::Offline => closed(args.connections, 128, false),
            Scenario::Server => {
                let due_s = match &args.trace {
                    Some(trace) => arrivals::traced(trace, rate, args.seconds)?,
                    None => arrivals::drawn(args.arrivals, rate, args.seconds, seed),
                };
                drive(&args.address, args.connections, inputs, options(args), &due_s)
            }
        }
    }

    /// The highest rate of which 99 % are answered within the objective, twice over. The run that
    /// confirms it stays as the last.
    fn search(&mut self) -> Result<Search> {
        let (first, seed) = (self.args.rate, self.args.seed);
        let mut search = search::highest(first, PROBES_MAX, |rate| self.try_rate(rate, seed))?;
        // At other times than those it was found with.
        let mut seeds = (seed + 1)..;
        search.confirm(|rate| self.try_rate(rate, seeds.next().unwrap_or(seed)))?;
        Ok(search)
    }

    fn try_rate(&mut self, rate: f64, seed: u64) -> Result<Tried> {
        let slo_ms = self.args.slo().as_millis();
        let tried = match self.ask(rate, seed) {
            Ok(measured) => {
                let tried = tried(&measured.driven, self.args.slo(), self.args.lag_max());
                self.last = Some(measured);
                tried
            }
            // What was measured before is worth telling.
            Err(error) if self.last.is_some() => {
                note(error);
                Tried { in_time: 0.0, in_time_at_server: 0.0, is_late: false, is_gone: true }
            }
            Err(error) => return Err(error),
        };
        let late = if tried.is_late { ", too many were sent late" } else { "" };
        let share = 100.0 * tried.in_time;
        note(format_args!("{rate:.0} a second: {share:.2} % within {slo_ms} ms{late}"));
        Ok(tried)
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
        Row::Text(row) => Input::Tokens(tokens(row)),
        Row::Image(pixels) => Input::Image(pixels),
    }
}

fn tokens(row: &TokenRow) -> Tokens {
    Tokens { ids: row.ids.clone(), kinds: row.kinds.clone() }
}

fn options(args: &Load) -> InferOptions {
    InferOptions {
        exits_off: args.exits_off,
        deadline_us: args.deadline_ms.map(|ms| (ms as u32).saturating_mul(1000)),
        ..InferOptions::default()
    }
}

/// How right the answers to labelled inputs are.
pub(crate) fn quality(driven: &Driven, rows: &[Labelled], model: &Model) -> Quality {
    let labelled = driven.ends.iter().zip(&driven.turns).filter_map(|(end, turn)| {
        let End::Answered(_, verdict) = end else { return None };
        Some((rows[turn % rows.len()].label.as_ref()?, decided(verdict, model)))
    });
    Quality::of(model, labelled)
}

/// What the full model decides, by request, where it answered; none where it cannot be asked.
fn full_answers(
    args: &Load,
    driven: &Driven,
    inputs: &[Input<'_>],
    model: &Model,
) -> Option<Vec<Option<u32>>> {
    let options = InferOptions { exits_off: true, ..InferOptions::default() };
    let (in_flight, patience) = (32, PATIENCE);
    let shape = closed::Loop { connections: 1, in_flight, is_query: false, patience };
    let asked = driven.turns.iter().max().map_or(0, |&last| inputs.len().min(last + 1));
    let full = match closed::all(&args.address, shape, &inputs[..asked], options) {
        Ok(full) => full,
        Err(error) => {
            note(format_args!("the agreement is not known: {error}"));
            return None;
        }
    };
    if full.stopped_s.is_some() {
        note("the agreement is not known of all answers: the server was lost");
    }
    let mut answers = vec![None; inputs.len()];
    for (turn, end) in full.turns.iter().zip(&full.ends) {
        if let End::Answered(_, verdict) = end {
            answers[*turn] = Some(decided(verdict, model));
        }
    }
    Some(driven.turns.iter().map(|turn| answers[turn % inputs.len()]).collect())
}

/// By request: whether it was answered as by the full model, where both answered.
pub(crate) fn compared(
    driven: &Driven,
    full: &[Option<u32>],
    model: &Model,
    decision: Decision,
) -> Vec<Option<bool>> {
    let same = |(end, full): (&End, &Option<u32>)| match (end, full) {
        (End::Answered(_, early), Some(full)) => Some(decision.agree(decided(early, model), *full)),
        _ => None,
    };
    driven.ends.iter().zip(full).map(same).collect()
}

/// How often the answers are the full model's, to so many inputs in turn.
pub(crate) fn agreement(same: &[Option<bool>], inputs: usize) -> Agreement {
    let known = same.iter().flatten();
    let (rows, differ) =
        known.fold((0, 0), |(rows, differ), is_same| (rows + 1, differ + u64::from(!is_same)));
    Agreement::repeated(differ, rows, inputs as u64)
}
