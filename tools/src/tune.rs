//! `offramp tune`: searches for thresholds side by side, on rows recorded earlier.

mod plot;
mod result;
mod timed;

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use offramp::{AfterExit, Decision};
use offramp_tune::adapt::{AUDIT_RATE, Adapted, Entry, Journal};
use offramp_tune::feedback::{Feedback, RecordHeader, RecordReader};
use offramp_tune::search::{Exact, Greedy, Grid, Search, Tethered, Uniform};
use offramp_tune::{
    Conditions, Controller, Latency, Manager, ManagerOptions, Rehearsal, TunerOptions, rehearse,
    rehearse_fixed,
};

use crate::args::{
    AFTER_EXIT, AfterExitArg, JsonArg, PromiseArg, PromiseArgs, count, share, switch, tolerance,
};
use crate::failure::{Failure, Result};
use crate::files::Files;
use crate::given::Given;
use crate::out::{Aside, Out, write_whole};
use crate::progress::bar;
use crate::table::counted;
use result::{Figures, proof_note, table};
use timed::Timed;

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp classify --model DIR --input day.jsonl --exits watch --record day.record
  offramp tune --record day.record
  offramp tune --record day.record --search tethered --max-disagreement 2% --plot day.svg
  offramp tune --record day.record --promise point
  offramp tune --record day.record --audit-rate 0.05 --json
  offramp tune --record day.record --after-exit release

Recorded rows pass as if live: each meets the thresholds in force, and a search learns only what
it would have learnt. tethered is what adapts a running engine; greedy is Apparate's hill climb,
uniform one threshold for all ramps, grid every combination of a few, exact the best of the window.
oracle lets every row leave at the first ramp that agrees: nothing can do better. as fitted, where
there were thresholds when the rows were recorded, is what they do as they are.
proof: rows before anybody could leave, which only gathered proof; all figures count them too.
over: share of stretches of 1,000 rows that disagree more than promised.";

/// Flags of `tune`.
#[derive(Args, Debug)]
pub(crate) struct Tune {
    #[command(flatten)]
    given: Given,
    /// Rows that ran to the end past every ramp: classify --exits watch --record FILE
    #[arg(long, value_name = "FILE", env = "OFFRAMP_RECORD")]
    record: PathBuf,
    /// What to compare [default: all]
    #[arg(long, value_enum, value_delimiter = ',', env = "OFFRAMP_SEARCH")]
    search: Vec<SearchArg>,
    #[command(flatten)]
    promise: PromiseArgs,
    /// For a record of a model that gives a number: how far apart the sigmoids of two numbers may
    /// be that count as the same answer [default: as when it was recorded]
    #[arg(long, value_name = "X", env = "OFFRAMP_TOLERANCE", value_parser = tolerance)]
    tolerance: Option<f32>,
    /// Rows that thresholds are chosen on
    #[arg(long, value_name = "N", default_value = "2048", env = "OFFRAMP_WINDOW_ROWS",
          value_parser = count())]
    window_rows: usize,
    /// Rows between two searches
    #[arg(long, value_name = "N", default_value = "64", env = "OFFRAMP_STEP_ROWS",
          value_parser = count())]
    step_rows: usize,
    /// Keep the first thresholds found
    #[arg(long, env = "OFFRAMP_ONCE", value_parser = switch())]
    once: bool,
    /// Choose the ramps that run too; false runs all of them
    #[arg(long, value_name = "BOOL", default_value = "true", env = "OFFRAMP_MANAGE_RAMPS",
          value_parser = BoolishValueParser::new(), action = clap::ArgAction::Set)]
    manage_ramps: bool,
    /// First rows of the record that ramps to begin with are chosen by; with 0 they are spread
    #[arg(long, value_name = "N", default_value = "0", env = "OFFRAMP_CALIBRATION_ROWS")]
    calibration_rows: usize,
    /// Most that ramps may add to a row that never leaves, as a share of the forward
    #[arg(long, value_name = "SHARE", default_value = "0.02", env = "OFFRAMP_RAMP_BUDGET",
          value_parser = share::<f64>)]
    ramp_budget: f64,
    /// What becomes of a row once its answer has left
    #[arg(long, value_enum, default_value_t = AFTER_EXIT, env = "OFFRAMP_AFTER_EXIT")]
    after_exit: AfterExitArg,
    /// Under compact: share of rows that run to the end anyway
    #[arg(long, value_name = "SHARE", default_value_t = AUDIT_RATE, env = "OFFRAMP_AUDIT_RATE",
          value_parser = share::<f64>)]
    audit_rate: f64,
    /// Seed of the audit draw
    #[arg(long, value_name = "N", default_value = "0", env = "OFFRAMP_SEED")]
    seed: u64,
    /// Draw thresholds, agreement and exits over time, for the first search named
    #[arg(long, value_name = "FILE", env = "OFFRAMP_PLOT")]
    plot: Option<PathBuf>,
    /// Write its decisions, a line of JSON each
    #[arg(long, value_name = "FILE", env = "OFFRAMP_JOURNAL")]
    journal: Option<PathBuf>,
    #[command(flatten)]
    json: JsonArg,
}

/// `--search`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum SearchArg {
    /// Exact, within reach of the best single threshold
    Tethered,
    /// The best thresholds of the window
    Exact,
    /// Apparate's hill climb
    Greedy,
    /// One threshold for all ramps
    Uniform,
    /// Every combination of a few thresholds
    Grid,
}

impl SearchArg {
    fn search(self) -> Box<dyn Search> {
        match self {
            Self::Tethered => Box::new(Tethered::default()),
            Self::Exact => Box::new(Exact::ONLINE),
            Self::Greedy => Box::new(Greedy::default()),
            Self::Uniform => Box::new(Uniform::default()),
            Self::Grid => Box::new(Grid { combinations_max: 20_000 }),
        }
    }
}

/// A record in memory.
struct Recorded {
    header: RecordHeader,
    rows: Vec<Feedback>,
    latency: Latency,
}

/// Runs the verb.
pub(crate) fn run(args: &Tune) -> Result<()> {
    args.expect_sense()?;
    let files = Files::default().read("--record", &args.record);
    let files = files.written("--plot", args.plot.as_ref());
    files.written("--journal", args.journal.as_ref()).check()?;
    let recorded = read(args)?;
    let chosen = if args.search.is_empty() { SearchArg::value_variants() } else { &args.search };
    let progress = bar("rehearsing", chosen.len() as u64);
    let decision = recorded.header.decision();
    let mut figures = Figures::ends(&recorded.rows, &recorded.latency, decision);
    figures.extend(as_fitted(args, &recorded, &figures));
    for (nth, search) in chosen.iter().enumerate() {
        let (timed, times) = Timed::new(search.search());
        progress.set_message(timed.name());
        let (rehearsal, seconds) = once(args, &recorded, Box::new(timed));
        if nth == 0 {
            keep(args, &recorded, &rehearsal)?;
        }
        let ends = &figures[..2];
        let limit = args.promise.max_disagreement;
        let row = Figures::of(search.search().name(), &rehearsal, ends, limit);
        figures.push(row.searched(&rehearsal, times.median_us(), seconds));
        progress.inc(1);
    }
    progress.finish_and_clear();
    say(args, &recorded, &figures)
}

impl Tune {
    /// Refuses flags that nothing would come of.
    fn expect_sense(&self) -> Result<()> {
        let is_release = self.after_exit == AfterExitArg::Release;
        let audits = "with --after-exit release, where every row runs to the end";
        self.given.refuse(is_release, &["audit-rate", "seed"], audits)?;
        let all = "with --manage-ramps false, which runs all ramps";
        self.given.refuse(!self.manage_ramps, &["ramp-budget", "calibration-rows"], all)?;
        let is_point = self.promise.promise == PromiseArg::Point;
        self.given.refuse(is_point, &["confidence"], "with --promise point, which has none")
    }
}

/// What the thresholds that the ramps had been fitted with make of the rows.
fn as_fitted(args: &Tune, recorded: &Recorded, ends: &[Figures]) -> Option<Figures> {
    let Recorded { header, rows, latency } = recorded;
    let thresholds = header.fitted.as_deref()?;
    let rehearsal =
        rehearse_fixed(rows, latency, thresholds, header.decision(), args.after_exit.into());
    Some(Figures::of("as fitted", &rehearsal, ends, args.promise.max_disagreement))
}

fn read(args: &Tune) -> Result<Recorded> {
    let reader = RecordReader::open(&args.record)?;
    let header = within(args.tolerance, reader.header().clone())?;
    let rows = reader.collect::<offramp_tune::Result<Vec<Feedback>>>()?;
    let file = args.record.display();
    let ramps = header.sites.len();
    let is_whole = |row: &Feedback| row.seen.len() == ramps && row.final_label.is_some();
    if let Some(row) = rows.iter().position(|row| !is_whole(row)) {
        return Err(Failure::Failed(format!(
            "{file}: row {row} did not pass all {ramps} ramps and the end: record with --exits \
             watch"
        )));
    }
    if let Some(fitted) = header.fitted.as_ref().filter(|fitted| fitted.len() != ramps) {
        return Err(Failure::Failed(format!(
            "{file}: `fitted` has {} thresholds, expected one for each of {ramps} ramps",
            fitted.len()
        )));
    }
    if rows.is_empty() || ramps == 0 {
        return Err(Failure::Failed(format!("{file}: nothing to tune: no rows or no ramps")));
    }
    let latency = Latency::seen(&header.sites, &header.shapes, rows.iter().map(|r| r.pass_rows));
    Ok(Recorded { header, rows, latency })
}

/// The header with the tolerance that was asked for.
fn within(tolerance: Option<f32>, header: RecordHeader) -> Result<RecordHeader> {
    if tolerance.is_some() && !header.task.is_number() {
        let message = format!("--tolerance is for records of numbers, this is of {}", header.task);
        return Err(Failure::Usage(message));
    }
    Ok(RecordHeader { tolerance: tolerance.or(header.tolerance), ..header })
}

fn once(args: &Tune, recorded: &Recorded, search: Box<dyn Search>) -> (Rehearsal, f64) {
    let Recorded { header, rows, latency } = recorded;
    let options = ManagerOptions { overhead_max: args.ramp_budget, ..Default::default() };
    let decision = header.decision();
    let first = &rows[..args.calibration_rows.min(rows.len())];
    let rates = first_answers(first, latency.ramps(), decision);
    let manager = args.manage_ramps.then(|| Manager::new(options, latency, rates.as_deref()));
    let tuner = TunerOptions {
        decision,
        goal: args.promise.goal(),
        window_rows: args.window_rows,
        step_rows: args.step_rows,
        once: args.once,
        ..Default::default()
    };
    let (all, off) = (vec![true; latency.ramps()], vec![offramp::OFF; latency.ramps()]);
    let mut controller = Controller::begin(search, tuner, manager, latency.clone(), (&all, &off));
    let after_exit: AfterExit = args.after_exit.into();
    let started = std::time::Instant::now();
    let conditions = Conditions { after_exit, audit_rate: args.audit_rate, seed: args.seed };
    let rehearsal = rehearse(rows, latency, &mut controller, &conditions);
    (rehearsal, started.elapsed().as_secs_f64())
}

/// By ramp: the share of rows that it is the first to answer as the full model does.
fn first_answers(rows: &[Feedback], ramps: usize, decision: Decision) -> Option<Vec<f64>> {
    let mut shares = vec![0.0; ramps];
    for row in rows {
        let first = row.first_right(decision);
        first.iter().for_each(|&ramp| shares[ramp] += 1.0 / rows.len() as f64);
    }
    (!rows.is_empty()).then_some(shares)
}

/// Writes the plot and the journal that were asked for.
fn keep(args: &Tune, recorded: &Recorded, rehearsal: &Rehearsal) -> Result<()> {
    if let Some(path) = &args.plot {
        let drawing = plot::draw(rehearsal, &recorded.header.sites, args.promise.max_disagreement);
        write_whole(path, drawing.as_bytes())?;
    }
    let Some(path) = &args.journal else { return Ok(()) };
    let aside = Aside::of(path)?;
    let mut journal = Journal::create(aside.as_ref().map_or(path, |aside| &aside.path))?;
    for (version, (rows, change)) in (1..).zip(&rehearsal.changes) {
        let seen = Adapted { rows: *rows as u64, ..Adapted::default() };
        journal.write(&Entry::of(change, version, seen))?;
    }
    drop(journal);
    aside.map_or(Ok(()), |aside| aside.put()).map_err(|error| Failure::io(path, "write", error))
}

fn say(args: &Tune, recorded: &Recorded, figures: &[Figures]) -> Result<()> {
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&figures)?;
        return out.flush();
    }
    let Recorded { header, rows, latency } = recorded;
    let RecordHeader { source, policy, sites, .. } = header;
    out.line(format_args!(
        "{} of {source}, {}, {policy}; a forward takes {:.2} ms",
        counted(rows.len() as u64, "row"),
        counted(sites.len() as u64, "ramp"),
        latency.forward_us() / 1e3
    ))?;
    let PromiseArgs { max_disagreement, confidence, promise } = args.promise;
    let least = 100.0 * max_disagreement;
    match promise {
        PromiseArg::Bound => out.line(format_args!(
            "promise: at most {least} % disagree, at {} % confidence",
            100.0 * confidence
        ))?,
        PromiseArg::Point => out.line(format_args!("at most {least} % disagree in the window"))?,
    }
    out.line(table(figures))?;
    out.line(proof_note(figures, rows.len()))?;
    for path in args.plot.iter().chain(&args.journal) {
        out.line(format_args!("wrote {}", path.display()))?;
    }
    out.flush()
}
