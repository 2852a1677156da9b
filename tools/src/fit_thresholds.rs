//! `offramp fit-thresholds`: another promise for ramps that are already trained.

use std::path::PathBuf;

use clap::Args;
use offramp::Model;
use offramp::model::files;
use offramp_train::FitOptions;

use crate::args::{EngineArgs, JsonArg, ModelArg};
use crate::failure::Result;
use crate::files::Files;
use crate::fit::{FitGoalArgs, fit_and_report};
use crate::given::Given;
use crate::out::Out;
use crate::pictures::PictureRules;
use crate::rows::read_all;

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp fit-thresholds --model DIR --calibration calibration.jsonl --agreement 0.995
  offramp fit-thresholds --model DIR --calibration inputs.txt --policy margin --out margin.json
  offramp classify --model DIR --thresholds margin.json";

/// Flags of `fit-thresholds`.
#[derive(Args, Debug)]
pub(crate) struct FitThresholds {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Inputs to fit on, as for classify, which the ramps have not learnt from
    #[arg(long, value_name = "FILE", env = "OFFRAMP_CALIBRATION")]
    calibration: PathBuf,
    #[command(flatten)]
    rules: PictureRules,
    /// Trained ramps [default: ramps.safetensors of the model]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_RAMPS")]
    ramps: Option<PathBuf>,
    /// Where the thresholds go [default: thresholds.json beside the ramps]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_OUT")]
    out: Option<PathBuf>,
    #[command(flatten)]
    goal: FitGoalArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the verb.
pub(crate) fn run(args: &FitThresholds) -> Result<()> {
    args.engine.machine.expect_sense(&args.given)?;
    let mut model = Model::open_bare(&args.model.model)?;
    let ramps = args.ramps.clone().unwrap_or_else(|| model.path(files::RAMPS));
    model.load_ramps(&ramps)?;
    let path = args.out.clone().unwrap_or_else(|| ramps.with_file_name(files::THRESHOLDS));
    let read = Files::default().read("--calibration", &args.calibration).read("--ramps", &ramps);
    read.model(model.dir(), &[files::THRESHOLDS]).written("--out", &path).check()?;
    let rows: Vec<_> =
        read_all(&args.calibration, &model, args.rules)?.into_iter().map(|row| row.input).collect();
    let engine = args.engine.options(&model);
    let options = FitOptions { policy: args.goal.policy, goal: args.goal.goal(), engine };
    let (thresholds, report) = fit_and_report(&model, &rows, &options)?;
    thresholds.write(&path).map_err(offramp::Error::from)?;
    let mut out = Out::stdout();
    if args.json.json {
        out.json(&report)?;
    } else {
        out.line(report.table())?;
        out.line(format_args!("wrote {}", path.display()))?;
    }
    out.flush()
}
