//! `offramp evaluate`: what early exits change on a file of inputs.

use std::path::PathBuf;

use clap::Args;
use offramp::{Engine, Exits};

use crate::args::{EngineArgs, ExitArgs, ExitsSwitch, JsonArg, ModelArg};
use crate::compare::{batches, exits_table, figures, table, variants};
use crate::failure::Result;
use crate::given::Given;
use crate::open::open;
use crate::out::{Out, note};
use crate::pictures::PictureRules;
use crate::progress::bar;
use crate::race::{Finish, race};
use crate::shipped;

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp evaluate --model DIR --input held-out.jsonl
  offramp evaluate --model DIR --policy patience(2)
  offramp evaluate --model DIR --threshold 0.9 --json

Agreement is counted against the full model; accuracy needs a \"label\" in the inputs: the name of
a class or its number (3, \"3\" or 3.0). Of pictures the label is the first of the folders that they
are in, or a byte of x-labels-idx1-ubyte beside x-images-idx3-ubyte. A label that is no class of
the model is an error; null is no label. Labels that do not exclude each other are a list, and count
where all are right; of a number the label is a number, and the mean error is told.";

/// Flags of `evaluate`.
#[derive(Args, Debug)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Inputs as for classify [default: test.jsonl of the model]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_INPUT")]
    input: Option<PathBuf>,
    #[command(flatten)]
    rules: PictureRules,
    #[command(flatten)]
    exit: ExitArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the verb.
pub(crate) fn run(args: &Evaluate) -> Result<()> {
    args.engine.machine.expect_sense(&args.given)?;
    args.exit.expect_leaving(&args.given)?;
    let (model, exit_plan) = open(&args.model.model, &args.exit)?;
    model.expect_classifier()?;
    if let Some(hint) = exit_plan.missing(&model).filter(|_| args.exit.exits != ExitsSwitch::Off) {
        note(hint);
    }
    let rows = shipped::rows(&model, args.input.as_deref(), args.rules)?;
    let mut engine = Engine::new(&model, &args.engine.options(&model))?;
    let early = exit_plan.exits(engine.plan())?;
    let mut variants = variants(Exits::off(engine.plan()), &early);
    if exit_plan.is_off() {
        variants.truncate(1);
    }
    let batches = batches(&engine, rows.iter().map(|row| &row.input))?;
    let once = Finish { rounds_min: 1, rounds_max: 1, seconds: 0.0 };
    let progress = bar("running the model", (variants.len() * batches.len()) as u64);
    let tallies = race(&mut engine, &batches, &variants, once, |tick| {
        progress.set_position(tick.passes as u64);
    })?;
    progress.finish_and_clear();
    let figures = figures(&model, &engine, &rows, &variants, &tallies);
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&figures)?;
        return out.flush();
    }
    let (inputs, exits) = (rows.len(), exit_plan.describe());
    out.line(format_args!("{inputs} inputs, {}, exits: {exits}", engine.device_name()))?;
    out.line(table(&figures))?;
    if let Some(last) = figures.last() {
        out.line(exits_table(last))?;
    }
    out.flush()
}
