//! `offramp profile`: the latency of every segment and ramp on this machine.

use std::path::PathBuf;

use clap::Args;
use offramp::model::files;
use offramp::{Engine, Limits, Model, RowRules, Shape};
use offramp_tune::profile::{Profile as Saved, ShapeProfile};

use crate::args::{JsonArg, MachineArgs, ModelArg, count};
use crate::failure::Result;
use crate::files::Files;
use crate::given::Given;
use crate::out::{Out, write_whole};
use crate::progress::bar;
use crate::table::{Table, fine_percent, ms};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp profile --model DIR
  offramp profile --model DIR --rows 1,4,16 --tokens 32 --out here.json

A model that reads images takes no --tokens: an image has a number of its own, its patches and class
tokens, or 1 where it stays a map of pixels.";

/// Flags of `profile`.
#[derive(Args, Debug)]
pub(crate) struct Profile {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Where the measurement goes [default: profile.json of the model]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_OUT")]
    out: Option<PathBuf>,
    /// Row counts
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "1,2,4,8,16,32",
          env = "OFFRAMP_ROWS", value_parser = count())]
    rows: Vec<usize>,
    /// Tokens of each row, for a model that reads texts; cut to what it reads
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "16,128",
          env = "OFFRAMP_TOKENS", value_parser = count())]
    tokens: Vec<usize>,
    /// Forwards behind each median
    #[arg(long, value_name = "N", default_value = "9", env = "OFFRAMP_ROUNDS",
          value_parser = count())]
    rounds: usize,
    #[command(flatten)]
    machine: MachineArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the verb.
pub(crate) fn run(args: &Profile) -> Result<()> {
    args.machine.expect_sense(&args.given)?;
    let model = Model::open(&args.model.model)?;
    let is_image = model.spec().image().is_some();
    args.given.refuse(is_image, &["tokens"], "for a model that reads images")?;
    let path = args.path(&model);
    Files::default().model(model.dir(), &[]).written("--out", &path).check()?;
    let shapes = shapes(args, &RowRules::of(model.spec()));
    let rows_max = shapes.iter().map(|shape| shape.rows).max().unwrap_or(1);
    let tokens_max = shapes.iter().map(|shape| shape.rows * shape.tokens).max().unwrap_or(1);
    let options = args.machine.options(Limits { rows_max, tokens_max });
    let mut engine = Engine::new(&model, &options)?;
    let progress = bar("measuring shapes", shapes.len() as u64);
    let mut measured = Vec::new();
    for &shape in &shapes {
        measured.push(ShapeProfile::measure(&mut engine, shape, args.rounds)?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    let saved = Saved {
        schema_version: Saved::SCHEMA_VERSION,
        model: model.hash().to_string(),
        device: engine.device_name(),
        rounds: args.rounds,
        shapes: measured,
    };
    save(args, &model, &saved)
}

impl Profile {
    fn path(&self, model: &Model) -> PathBuf {
        self.out.clone().unwrap_or_else(|| model.path(files::PROFILE))
    }
}

/// All pairs; lengths that the model has not become its own, and are named once.
fn shapes(args: &Profile, rules: &RowRules) -> Vec<Shape> {
    let mut lengths: Vec<usize> = args.tokens.iter().map(|&n| rules.clamp_tokens(n)).collect();
    lengths.dedup();
    let pairs =
        lengths.iter().flat_map(|&tokens| args.rows.iter().map(move |&rows| (rows, tokens)));
    pairs.map(|(rows, tokens)| Shape { rows, tokens }).collect()
}

fn save(args: &Profile, model: &Model, saved: &Saved) -> Result<()> {
    let path = args.path(model);
    let mut text = serde_json::to_string_pretty(saved)?;
    text.push('\n');
    write_whole(&path, text.as_bytes())?;
    let mut out = Out::stdout();
    if args.json.json {
        out.json(saved)?;
    } else {
        out.line(format_args!("{}, medians of {} forwards", saved.device, saved.rounds))?;
        out.line(table(saved))?;
        out.line(format_args!("wrote {}", path.display()))?;
    }
    out.flush()
}

fn table(saved: &Saved) -> Table {
    let header = ["rows", "tokens", "forward", "a segment", "a ramp", "all ramps", "packing"];
    let mut table = Table::new(&header);
    for shape in &saved.shapes {
        let forward_us = shape.forward_us();
        let sites = shape.exit_us.len().saturating_sub(1);
        let ramps: Vec<f64> = shape.exit_us[..sites].iter().copied().flatten().collect();
        let ramps_us: f64 = ramps.iter().sum();
        let mean = |sum: f64, count: usize| if count == 0 { 0.0 } else { sum / count as f64 };
        table.texts([
            shape.rows.to_string(),
            shape.row_tokens.to_string(),
            ms(forward_us / 1e3),
            ms(mean(shape.segment_us.iter().sum(), shape.segment_us.len()) / 1e3),
            ms(mean(ramps_us, ramps.len()) / 1e3),
            fine_percent(ramps_us / forward_us),
            shape.compact_us.map_or("-".to_owned(), |us| ms(us / 1e3)),
        ]);
    }
    table
}
