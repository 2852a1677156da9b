//! `offramp bench`: the engine in a closed loop, without a server.

mod result;
mod workload;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use offramp::{AfterExit, Engine, Exits, Limits, Model, RowRules, Score, peak_gflops};

use crate::args::{ExitArgs, JsonArg, MachineArgs, ModelArg, count, seconds, switch};
use crate::failure::{Failure, Result};
use crate::given::Given;
use crate::open::{ExitPlan, open};
use crate::out::{Out, note};
use crate::progress::{Bar, bar};
use crate::race::{Finish, Tally, Variant, race};
use result::{Cell, Machine, table};
use workload::{ExitProfile, Workload};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp bench --model DIR
  offramp bench --model DIR --ragged --rows 1,32 --threads 1
  offramp bench --model DIR --tokens 16,128 --profile-exits uniform,late --json
  offramp bench --model DIR --lengths-from lengths.txt --variants full

The variants of a cell take turns, round by round. Tokens are random where lengths are fixed or
read from a file, so that thresholds mean little there: --ragged runs the inputs that came with
the model, and --profile-exits lets known shares of the rows leave at each ramp.
Row latency: from the start of a pass to the row's answer. GFLOP/s count what was run; the share
of the peak is that of a product of 1024 x 1024 matrices, timed in the same run.";

const ROUNDS_MIN: usize = 5;

/// Flags of `bench`.
#[derive(Args, Debug)]
pub(crate) struct Bench {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Rows of a pass
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,8,32",
          env = "OFFRAMP_ROWS", value_parser = count())]
    rows: Vec<usize>,
    /// Tokens of each row, for a model that reads texts; cut to what it reads
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "128",
          env = "OFFRAMP_TOKENS", value_parser = count())]
    tokens: Vec<usize>,
    /// Run the inputs of test.jsonl in the model's folder
    #[arg(long, env = "OFFRAMP_RAGGED", value_parser = switch(), conflicts_with = "lengths_from")]
    ragged: bool,
    /// Row lengths in tokens, one a line, for random rows
    #[arg(long, value_name = "FILE", env = "OFFRAMP_LENGTHS_FROM")]
    lengths_from: Option<PathBuf>,
    /// What to compare [default: full, and release and compact where there are thresholds]
    #[arg(long, value_enum, value_delimiter = ',', env = "OFFRAMP_VARIANTS")]
    variants: Vec<VariantArg>,
    /// Compare exits by profile too, whatever the ramps say
    #[arg(long, value_enum, value_delimiter = ',', env = "OFFRAMP_PROFILE_EXITS")]
    profile_exits: Vec<ExitProfile>,
    /// How long to measure each cell
    #[arg(long, value_name = "S", default_value = "3", env = "OFFRAMP_SECONDS",
          value_parser = seconds)]
    seconds: f64,
    /// Rounds of each cell, instead of seconds
    #[arg(long, value_name = "N", env = "OFFRAMP_ROUNDS", value_parser = count())]
    rounds: Option<usize>,
    #[command(flatten)]
    exit: ExitArgs,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// `--variants`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum VariantArg {
    /// No exits
    Full,
    /// Answers leave early, rows run on
    Release,
    /// Rows leave too
    Compact,
}

/// Runs the verb.
pub(crate) fn run(args: &Bench) -> Result<()> {
    args.expect_sense()?;
    let (model, exit_plan) = open(&args.model.model, &args.exit)?;
    let is_image = model.spec().image().is_some();
    args.given.refuse(is_image, &["tokens", "lengths-from"], "for a model that reads images")?;
    let workloads = workloads(args, &model)?;
    let rules = RowRules::of(model.spec());
    let tokens = |load: &Workload| load.tokens_max(&rules);
    let limits = Limits {
        rows_max: workloads.iter().map(|load| load.rows).max().unwrap_or(1),
        tokens_max: workloads.iter().map(tokens).max().unwrap_or(1),
    };
    let mut engine = Engine::new(&model, &args.machine.options(limits))?;
    let MachineArgs { device, threads, .. } = args.machine;
    let before = peak_gflops(device, threads)?;
    let progress = bar("measuring", workloads.len() as u64);
    let mut cells = Vec::new();
    for load in &workloads {
        progress.set_message(load.describe());
        cells.extend(measure(args, &mut engine, &exit_plan, load, &progress)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let machine = Machine {
        device: engine.device_name(),
        peak_gflops: before.max(peak_gflops(device, threads)?),
        reserved_bytes: engine.reserved_bytes(),
    };
    cells.iter_mut().for_each(|cell| cell.relate(&machine));
    say(args, &cells, &machine)
}

impl Bench {
    /// Refuses flags that nothing would come of.
    fn expect_sense(&self) -> Result<()> {
        let Self { given, exit, machine, .. } = self;
        machine.expect_sense(given)?;
        exit.expect_leaving(given)?;
        given.refuse(self.ragged, &["tokens"], "with --ragged, whose inputs have their lengths")?;
        let lengths = "with --lengths-from, which gives the lengths";
        given.refuse(self.lengths_from.is_some(), &["tokens"], lengths)?;
        let rounds = "with --rounds, which ends each cell";
        given.refuse(self.rounds.is_some(), &["seconds"], rounds)?;
        let is_full = self.variants == [VariantArg::Full] && self.profile_exits.is_empty();
        let flags = ["policy", "threshold", "thresholds"];
        given.refuse(is_full, &flags, "with --variants full, where nobody leaves")
    }
}

fn workloads(args: &Bench, model: &Model) -> Result<Vec<Workload>> {
    let lengths = match (&args.lengths_from, args.ragged) {
        (Some(file), _) => vec![workload::read_lengths(file, model)?],
        (None, true) => vec![workload::shipped(model)?],
        (None, false) => workload::fixed(&args.tokens, model),
    };
    let pairs = lengths.iter().flat_map(|rows| args.rows.iter().map(move |&n| (rows, n)));
    Ok(pairs.map(|(rows, n)| rows.cut(n)).collect())
}

fn measure(
    args: &Bench,
    engine: &mut Engine,
    exit_plan: &ExitPlan,
    load: &Workload,
    progress: &Bar,
) -> Result<Vec<Cell>> {
    let batches = load.batches(engine)?;
    let variants = variants(args, engine, exit_plan, load)?;
    let finish = match args.rounds {
        Some(rounds) => Finish { rounds_min: rounds, rounds_max: rounds, seconds: 0.0 },
        None => Finish { rounds_min: ROUNDS_MIN, rounds_max: usize::MAX, seconds: args.seconds },
    };
    let tallies = race(engine, &batches, &variants, finish, |_| progress.tick())?;
    let Some(first) = tallies.first() else { return Ok(Vec::new()) };
    let caveat = |tally: &Tally| load.caveat(tally.name, exit_plan);
    let cell = |tally| Cell { caveat: caveat(tally), ..Cell::of(load, engine, tally, first) };
    Ok(tallies.iter().map(cell).collect())
}

fn variants(
    args: &Bench,
    engine: &Engine,
    exit_plan: &ExitPlan,
    load: &Workload,
) -> Result<Vec<Variant>> {
    let plan = engine.plan();
    let early = exit_plan.exits(plan)?;
    let mut variants = Vec::new();
    for kind in chosen(args, exit_plan) {
        let (name, after_exit) = match kind {
            VariantArg::Full => ("full", AfterExit::Compact),
            VariantArg::Release => ("release", AfterExit::Release),
            VariantArg::Compact => ("compact", AfterExit::Compact),
        };
        let is_full = kind == VariantArg::Full;
        if !is_full && exit_plan.is_off() {
            return Err(Failure::Usage(format!("{name} needs ramps and thresholds")));
        }
        let exits = if is_full { Exits::off(plan) } else { early.clone() };
        variants.push(Variant { name, exits, after_exit, windows: vec![] });
    }
    for profile in &args.profile_exits {
        if plan.ramps() == 0 {
            return Err(Failure::Usage("--profile-exits needs a model with ramps".to_owned()));
        }
        let windows = profile.windows(plan.ramps(), load.rows_in_round());
        let exits = Exits::watching(plan, Score::Confidence);
        let after_exit = AfterExit::Compact;
        variants.push(Variant { name: profile.name(), exits, after_exit, windows });
    }
    Ok(variants)
}

fn chosen(args: &Bench, exit_plan: &ExitPlan) -> Vec<VariantArg> {
    match (args.variants.is_empty(), exit_plan.is_off()) {
        (false, _) => args.variants.clone(),
        (true, true) => vec![VariantArg::Full],
        (true, false) => vec![VariantArg::Full, VariantArg::Release, VariantArg::Compact],
    }
}

fn say(args: &Bench, cells: &[Cell], machine: &Machine) -> Result<()> {
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&cells)?;
        return out.flush();
    }
    let Machine { device, peak_gflops, reserved_bytes } = machine;
    let mib = *reserved_bytes as f64 / f64::from(1 << 20);
    out.line(format_args!("{device}, peak {peak_gflops:.1} GFLOP/s, reserved {mib:.1} MiB\n"))?;
    out.line(table(cells))?;
    // The same for all that have one.
    if let Some(caveat) = cells.iter().find_map(|cell| cell.caveat) {
        out.line(format_args!("note: {caveat}"))?;
    }
    out.flush()?;
    if cells.iter().any(|cell| cell.rounds < ROUNDS_MIN) {
        note("note: few rounds: medians and quantiles are rough");
    }
    Ok(())
}
