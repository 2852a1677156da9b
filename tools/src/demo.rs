//! `offramp demo`: the shipped models on inputs they have not seen, with and without early exits,
//! in the library and behind a server.

mod served;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use offramp::{Engine, Exit, Exits, Input, Model};
use serde::Serialize;

use crate::answers::Shown;
use crate::args::{EngineArgs, ExitArgs, JsonArg, count, seconds};
use crate::compare::{Figures, batches, exits_table, figures, table, variants};
use crate::failure::{Failure, Result};
use crate::given::Given;
use crate::html;
use crate::load::plots::{self, Run};
use crate::open::open;
use crate::out::{Out, expect_writable, write_whole};
use crate::pictures::PictureRules;
use crate::progress::bar;
use crate::race::{Finish, Outcome, Tally, race};
use crate::report::{self, Report};
use crate::rows::Row;
use crate::shipped;
use crate::table::wrapped;
use served::{Plan, Served, Way};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp demo
  offramp demo --batch 1 --threads 1
  offramp demo --model DIR --input held-out.jsonl --report report.html";

/// Rounds in any case: a slow machine is not kept busy for longer than it takes to see.
const ROUNDS_MIN: usize = 1;
/// Inputs shown.
const SHOWN: usize = 5;

/// Flags of `demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    #[command(flatten)]
    given: Given,
    /// Folder of the model [default: both shipped ones]
    #[arg(long, value_name = "DIR", env = "OFFRAMP_MODEL")]
    model: Option<PathBuf>,
    /// Inputs to run [default: those that came with the model]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_INPUT")]
    input: Option<PathBuf>,
    /// How long to measure each model in the library; a server's ways take about ten times as long
    #[arg(long, value_name = "S", default_value = "2", env = "OFFRAMP_SECONDS",
          value_parser = seconds)]
    seconds: f64,
    /// Served answers within this count as goodput, milliseconds
    #[arg(long, value_name = "N", default_value = "20", env = "OFFRAMP_SLO_MS",
          value_parser = count())]
    slo_ms: usize,
    /// Where the report with its drawings goes
    #[arg(
        long,
        value_name = "FILE",
        default_value = "target/offramp-demo/report.html",
        env = "OFFRAMP_REPORT"
    )]
    report: PathBuf,
    #[command(flatten)]
    exit: ExitArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// What `--json` prints of each model.
#[derive(Serialize)]
struct Summary<'a> {
    model: String,
    device: &'a str,
    inputs: usize,
    batch: usize,
    rounds: usize,
    variants: &'a [Figures],
    served: &'a [Way],
    /// Why there are none.
    served_skipped: Option<&'a str>,
    report: String,
}

/// A model that has run.
struct Ran {
    model: Model,
    device: String,
    rows: Vec<Row>,
    tallies: Vec<Tally>,
    figures: Vec<Figures>,
    about: String,
    served: Served,
}

impl Demo {
    fn slo(&self) -> Duration {
        Duration::from_millis(self.slo_ms as u64)
    }
}

/// Runs the verb.
pub(crate) fn run(args: &Demo) -> Result<()> {
    args.engine.machine.expect_sense(&args.given)?;
    args.exit.expect_leaving(&args.given)?;
    expect_writable(&args.report)?;
    let dirs = shipped::model_dirs(args.model.as_deref())?;
    let is_of_one = [&args.input, &args.exit.ramps, &args.exit.thresholds];
    if dirs.len() > 1 && is_of_one.iter().any(|file| file.is_some()) {
        let message =
            "--input, --ramps and --thresholds belong to one model: name it with --model DIR";
        return Err(Failure::Usage(message.to_owned()));
    }
    let ran = dirs.iter().map(|dir| measure(args, dir)).collect::<Result<Vec<_>>>()?;
    let names: Vec<String> = ran.iter().map(|ran| name(&ran.model)).collect();
    let mut page = String::new();
    for (ran, name) in ran.iter().zip(&names) {
        report::section(&mut page, &ran.report(name));
        page.push_str("<h3>Behind a server</h3>\n");
        plots::section(&mut page, &ran.served.about(args.slo()), &ran.served_html(), &ran.runs());
    }
    write_whole(&args.report, html::page("offramp demo", &page).as_bytes())?;
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&ran.iter().map(|ran| ran.summary(args)).collect::<Vec<_>>())?;
    } else {
        ran.iter().try_for_each(|ran| ran.say(args, &mut out))?;
        out.line(
            "full depth: no exits. release: answers leave early, rows run on. compact: rows leave",
        )?;
        out.line(
            "too, later layers run for fewer. Latency: from the start of a pass to a row's answer.",
        )?;
        out.line(format_args!("\nreport: {}", args.report.display()))?;
    }
    out.flush()
}

fn measure(args: &Demo, dir: &Path) -> Result<Ran> {
    let (model, exit_plan) = open(dir, &args.exit)?;
    model.expect_classifier()?;
    if exit_plan.is_off() {
        return Err(Failure::Failed(format!(
            "{}: no ramps and thresholds to show: run `offramp train-ramps` first",
            dir.display()
        )));
    }
    let rows = shipped::rows(&model, args.input.as_deref(), PictureRules::default())?;
    let mut engine = Engine::new(&model, &args.engine.options(&model))?;
    let early = exit_plan.exits(engine.plan())?;
    let variants = variants(Exits::off(engine.plan()), &early);
    let batches = batches(&engine, rows.iter().map(|row| &row.input))?;
    let finish = Finish { rounds_min: ROUNDS_MIN, rounds_max: usize::MAX, seconds: args.seconds };
    let progress = bar("running the model", 100);
    let tallies = race(&mut engine, &batches, &variants, finish, |tick| {
        progress.set_position((100.0 * tick.elapsed_s / args.seconds).min(100.0) as u64);
        progress.set_message(format!("round {}", tick.round));
    })?;
    progress.finish_and_clear();
    let figures = figures(&model, &engine, &rows, &variants, &tallies);
    let about = about(args, &model, &engine, &rows, &tallies, &exit_plan.describe());
    let device = engine.device_name();
    // Both cannot have the machine for themselves.
    drop(engine);
    let options = args.engine.options(&model);
    let (slo, seconds) = (args.slo(), args.seconds);
    let plan = Plan { dir, exits: &args.exit, engine: options, rows: &rows, slo, seconds };
    let served = plan.measure()?;
    Ok(Ran { model, device, rows, tallies, figures, about, served })
}

fn about(
    args: &Demo,
    model: &Model,
    engine: &Engine,
    rows: &[Row],
    tallies: &[Tally],
    exits: &str,
) -> String {
    let (spec, segments) = (model.spec(), model.spec().sites());
    let (network, prepared) = match spec.input {
        Input::Tokens(_) => (
            format!("{} with {segments} layers of {}", spec.name(), spec.site_width(0)),
            "text was split into tokens beforehand",
        ),
        Input::Pixels(_) => {
            (format!("{} in {segments} segments", spec.name()), "images were decoded beforehand")
        }
    };
    let rounds = match tallies.first().map_or(0, |tally| tally.round_s.len()) {
        1 => "1 round".to_owned(),
        rounds => format!("{rounds} rounds"),
    };
    format!(
        "{}: {network}, {} held-out inputs in batches of {}, {}\n\
         exits: {exits}\n\
         three ways in turn, {rounds}; {prepared}",
        name(model),
        rows.len(),
        args.engine.batch,
        engine.device_name(),
    )
}

fn name(model: &Model) -> String {
    model.dir().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Ran {
    fn report<'a>(&'a self, name: &'a str) -> Report<'a> {
        Report { name, about: &self.about, figures: &self.figures, tallies: &self.tallies }
    }

    fn served_html(&self) -> String {
        let warnings = html::warnings(&self.served.warnings());
        let table = self.served.table().map_or(String::new(), |table| table.html());
        format!("{warnings}{table}")
    }

    /// Drawings of what was served, where it was.
    fn runs(&self) -> Vec<Run<'_>> {
        self.served.runs()
    }

    fn say(&self, args: &Demo, out: &mut Out) -> Result<()> {
        out.line(&self.about)?;
        out.line("")?;
        out.line(table(&self.figures))?;
        if let Some(compact) = self.figures.last() {
            out.line("\nWhere rows leave")?;
            out.line(exits_table(compact))?;
        }
        if let Some(compact) = self.tallies.last() {
            out.line("\nSome of them")?;
            for (row, outcome) in examples(&self.rows, &compact.outcomes) {
                out.line(example(&self.model, row, outcome))?;
            }
        }
        out.line("")?;
        let about = self.served.about(args.slo());
        about.lines().try_for_each(|line| out.line(wrapped(line)))?;
        if let Some(table) = self.served.table() {
            out.line(table)?;
        }
        self.served.warnings().iter().try_for_each(|warning| out.line(wrapped(warning)))?;
        out.line("")
    }

    fn summary(&self, args: &Demo) -> Summary<'_> {
        Summary {
            model: self.model.dir().display().to_string(),
            device: &self.device,
            inputs: self.tallies.first().map_or(0, Tally::rows),
            batch: args.engine.batch,
            rounds: self.tallies.first().map_or(0, |tally| tally.round_s.len()),
            variants: &self.figures,
            served: &self.served.ways,
            served_skipped: self.served.skipped.as_deref(),
            report: args.report.display().to_string(),
        }
    }
}

/// The first row of every exit, and more of the earliest ones where exits are few.
fn examples<'a>(rows: &'a [Row], outcomes: &'a [Outcome]) -> Vec<(&'a Row, &'a Outcome)> {
    let mut pairs: Vec<_> = rows.iter().zip(outcomes).enumerate().collect();
    let nth_of_exit = |exit: Exit, index: usize| {
        outcomes[..index].iter().filter(|outcome| outcome.exit == exit).count()
    };
    pairs.sort_by_key(|(index, (_, outcome))| (nth_of_exit(outcome.exit, *index), outcome.exit));
    let mut shown: Vec<_> = pairs.into_iter().map(|(_, pair)| pair).take(SHOWN).collect();
    shown.sort_by_key(|(_, outcome)| outcome.exit);
    shown
}

fn example(model: &Model, row: &Row, outcome: &Outcome) -> String {
    const WIDTH: usize = 56;
    let text = row.text.clone().unwrap_or_else(|| row.id.to_string());
    let shown: String = if text.chars().count() > WIDTH {
        text.chars().take(WIDTH - 3).chain("...".chars()).collect()
    } else {
        text
    };
    let exit = match outcome.exit {
        Exit::Site(site) => format!("ramp {site}"),
        Exit::Final => "final".to_owned(),
    };
    let (label, depth) = (Shown { model, label: outcome.label }, 100.0 * outcome.depth);
    format!("  {shown:<WIDTH$}  {label:<11} {:.2}  {exit:<7} {depth:>4.0} % run", outcome.score)
}
