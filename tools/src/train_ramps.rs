//! `offramp train-ramps`: exits for a model, learnt from inputs without labels.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use offramp::model::files;
use offramp::{EngineOptions, Model, Pool};
use offramp_train::{FitOptions, Progress, RampOptions, Settings, TrainedRamps, train_ramps};

use crate::args::{EngineArgs, JsonArg, ModelArg, count, open_share};
use crate::failure::{Failure, Result};
use crate::files::Files;
use crate::fit::{FitGoalArgs, RampReport, fit_and_report};
use crate::given::Given;
use crate::out::{Out, note};
use crate::pictures::PictureRules;
use crate::progress::{Bar, bar};
use crate::rows::{Row, read_all};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp train-ramps --model DIR --inputs train.jsonl --calibration calibration.jsonl
  offramp train-ramps --model DIR --inputs texts.txt --agreement 0.995 --policy margin
  offramp train-ramps --model DIR --inputs train.jsonl --hidden 64 --out DIR2

Ramps learn to give the model's own answers: inputs need no labels. Thresholds are fitted on the
calibration inputs, which should be neither among the training inputs nor among those that the
result is judged by, nor among those that the model itself has learnt from: on inputs it knows by
heart every ramp agrees. Writes ramps.safetensors and thresholds.json.";

/// Flags of `train-ramps`.
#[derive(Args, Debug)]
pub(crate) struct TrainRamps {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Inputs to learn from, as for classify
    #[arg(long, value_name = "FILE", env = "OFFRAMP_INPUTS")]
    inputs: PathBuf,
    /// Inputs to fit thresholds on [default: those held out]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_CALIBRATION")]
    calibration: Option<PathBuf>,
    #[command(flatten)]
    rules: PictureRules,
    /// Where both files go [default: the model's folder]
    #[arg(long, value_name = "DIR", env = "OFFRAMP_OUT")]
    out: Option<PathBuf>,
    /// Units of a hidden layer in each ramp [default: none, a linear ramp]
    #[arg(long, value_name = "N", env = "OFFRAMP_HIDDEN", value_parser = count())]
    hidden: Option<usize>,
    /// How a row's tokens become one vector
    #[arg(long, value_enum, default_value = "mean", env = "OFFRAMP_POOL")]
    pool: PoolArg,
    /// Share of the inputs that ramps do not learn from but are judged on
    #[arg(long, value_name = "SHARE", default_value = "0.2", env = "OFFRAMP_HELD_OUT",
          value_parser = open_share)]
    held_out: f64,
    /// Most epochs
    #[arg(long, value_name = "N", default_value = "80", env = "OFFRAMP_EPOCHS",
          value_parser = count())]
    epochs: usize,
    /// Seed of the split, of the first weights and of the order of batches
    #[arg(long, value_name = "N", default_value = "0", env = "OFFRAMP_SEED")]
    seed: u64,
    #[command(flatten)]
    goal: FitGoalArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// `--pool`.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum PoolArg {
    /// The mean over all tokens
    Mean,
    /// The first token
    First,
    /// The last token
    Last,
}

/// Runs the verb.
pub(crate) fn run(args: &TrainRamps) -> Result<()> {
    args.engine.machine.expect_sense(&args.given)?;
    let dir = args.out.as_deref().unwrap_or(&args.model.model);
    let mut model = Model::open_bare(&args.model.model)?;
    model.expect_classifier()?;
    let [ramps, thresholds] = [files::RAMPS, files::THRESHOLDS].map(|name| dir.join(name));
    let read = Files::default().read("--inputs", &args.inputs);
    let read = read.read("--calibration", args.calibration.as_ref());
    read.written("--out", &ramps).written("--out", &thresholds).check()?;
    let inputs = bare(read_all(&args.inputs, &model, args.rules)?);
    let calibration = match &args.calibration {
        Some(file) => Some(bare(read_all(file, &model, args.rules)?)),
        None => None,
    };
    let engine = args.engine.options(&model);
    let trained = train(&model, &inputs, args, &engine)?;
    model.set_ramps(Some(trained.bundle));
    let calibration = calibration.unwrap_or_else(|| held_out(&inputs, &trained.held_out));
    let options = FitOptions { policy: args.goal.policy, goal: args.goal.goal(), engine };
    let (thresholds, report) = fit_and_report(&model, &calibration, &options)?;
    std::fs::create_dir_all(dir).map_err(|source| Failure::io(dir, "create", source))?;
    write(&model, dir, |path| Ok(thresholds.write(path).map_err(offramp::Error::from)?))?;
    say(args, &report, dir)
}

/// Thresholds that are left from other ramps go first, so that no reader meets them with these.
fn write(model: &Model, dir: &Path, thresholds: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = dir.join(files::THRESHOLDS);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::io(&path, "replace", error));
        }
        _ => {}
    }
    if let Some(bundle) = model.ramps() {
        bundle.write(&dir.join(files::RAMPS)).map_err(offramp::Error::from)?;
    }
    thresholds(&path)
}

fn train(
    model: &Model,
    inputs: &[offramp::Row],
    args: &TrainRamps,
    engine: &EngineOptions,
) -> Result<TrainedRamps> {
    let pool = match args.pool {
        PoolArg::Mean => Pool::Mean,
        PoolArg::First => Pool::First,
        PoolArg::Last => Pool::Last,
    };
    let settings = Settings {
        hidden: args.hidden,
        epochs_max: args.epochs,
        seed: args.seed,
        ..Settings::default()
    };
    let options = RampOptions { pool, held_out: args.held_out, settings, engine: engine.clone() };
    let mut bars = Bars::new(inputs.len() as u64, model.spec().sites().saturating_sub(1) as u64);
    let trained = train_ramps(model, inputs, &options, &mut |progress| bars.show(progress))?;
    bars.finish();
    Ok(trained)
}

/// One bar for the forwards, one for the ramps.
struct Bars {
    watched: Bar,
    sites: Option<Bar>,
    sites_count: u64,
}

impl Bars {
    fn new(rows: u64, sites_count: u64) -> Self {
        Self { watched: bar("watching the model", rows), sites: None, sites_count }
    }

    fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Watched { rows, of } => {
                self.watched.set_length(of as u64);
                self.watched.set_position(rows as u64);
            }
            Progress::Epoch { site, epoch } => self.sites().set_message(format!(
                "site {site} epoch {} agreement {:.1} %",
                epoch.number,
                100.0 * epoch.agreement
            )),
            Progress::Site { .. } => self.sites().inc(1),
        }
    }

    fn sites(&mut self) -> &Bar {
        self.sites.get_or_insert_with(|| bar("training ramps", self.sites_count))
    }

    fn finish(&self) {
        self.watched.finish_and_clear();
        self.sites.iter().for_each(Bar::finish_and_clear);
    }
}

fn bare(rows: Vec<Row>) -> Vec<offramp::Row> {
    rows.into_iter().map(|row| row.input).collect()
}

fn held_out(inputs: &[offramp::Row], rows: &[u32]) -> Vec<offramp::Row> {
    note(
        "note: without --calibration thresholds are fitted on the held-out inputs, which also \
         chose when training stopped: the figures are slightly optimistic",
    );
    rows.iter().map(|&row| inputs[row as usize].clone()).collect()
}

fn say(args: &TrainRamps, report: &RampReport, dir: &Path) -> Result<()> {
    let mut out = Out::stdout();
    if args.json.json {
        out.json(report)?;
    } else {
        out.line(report.table())?;
        let (ramps, thresholds) = (dir.join(files::RAMPS), dir.join(files::THRESHOLDS));
        out.line(format_args!("wrote {} and {}", ramps.display(), thresholds.display()))?;
    }
    out.flush()
}
