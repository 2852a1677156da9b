//! Groups of flags that several verbs share. Every flag has a twin in the environment.

use std::path::PathBuf;

use clap::builder::{BoolishValueParser, RangedU64ValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use offramp::{AfterExit, DeviceChoice, EngineOptions, Limits, Model, Policy, Precision};
use offramp_tune::Goal;

use crate::files::Files;
use crate::given::Given;

/// Tokens a row is expected to have at most where `--tokens-max` is not given.
const ROW_TOKENS_USUAL: usize = 128;

/// Which model.
#[derive(Args, Debug)]
pub(crate) struct ModelArg {
    /// Folder of the model: config.json, model.safetensors, tokenizer.json
    #[arg(long, value_name = "DIR", env = "OFFRAMP_MODEL")]
    pub(crate) model: PathBuf,
}

/// Where and how large.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// Most rows of a pass
    #[arg(long, value_name = "N", default_value = "32", env = "OFFRAMP_BATCH",
          value_parser = rows())]
    pub(crate) batch: usize,
    /// Most tokens of a pass of texts, all rows together [default: 128 for each row]; images are
    /// limited by --batch alone
    #[arg(long, value_name = "N", env = "OFFRAMP_TOKENS_MAX", value_parser = tokens())]
    pub(crate) tokens_max: Option<usize>,
    /// For a model that gives a number: how far apart the sigmoids of two numbers may be that
    /// count as the same answer [default: as the thresholds, or 0.02]
    #[arg(long, value_name = "X", env = "OFFRAMP_TOLERANCE", value_parser = tolerance)]
    pub(crate) tolerance: Option<f32>,
    #[command(flatten)]
    pub(crate) machine: MachineArgs,
}

/// Where.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct MachineArgs {
    /// Worker threads; 0 takes one per core
    #[arg(long, value_name = "N", default_value = "0", env = "OFFRAMP_THREADS",
          value_parser = threads())]
    pub(crate) threads: usize,
    /// Where to run: auto, cpu, cuda or cuda:N; see `offramp devices`
    #[arg(long, value_name = "DEVICE", default_value = "auto", env = "OFFRAMP_DEVICE")]
    pub(crate) device: DeviceChoice,
    /// How a GPU stores numbers: f16, bf16, or tf32 (f32, multiplied in parts of 11 bits)
    #[arg(long, value_name = "FORMAT", default_value = "f16", env = "OFFRAMP_PRECISION")]
    pub(crate) precision: Precision,
}

impl EngineArgs {
    /// For batches of inputs of `model`.
    pub(crate) fn options(&self, model: &Model) -> EngineOptions {
        let row_tokens_max = model.row_tokens_max();
        let usual = self.batch * row_tokens_max.min(ROW_TOKENS_USUAL);
        let tokens_max = self.tokens_max.unwrap_or(usual.max(row_tokens_max));
        let options = self.machine.options(Limits { rows_max: self.batch, tokens_max });
        EngineOptions { tolerance: self.tolerance, ..options }
    }
}

impl MachineArgs {
    /// Refuses flags that nothing would come of.
    pub(crate) fn expect_sense(&self, given: &Given) -> crate::failure::Result<()> {
        let is_on_cpu = self.device == DeviceChoice::Cpu;
        given.refuse(is_on_cpu, &["precision"], "on a CPU, which computes in f32")
    }

    pub(crate) fn options(&self, limits: Limits) -> EngineOptions {
        let Self { device, threads, precision } = *self;
        EngineOptions { limits, device, threads, precision, ..EngineOptions::default() }
    }
}

/// Whether and when rows leave early.
#[derive(Args, Clone, Debug)]
pub(crate) struct ExitArgs {
    /// Early exits: auto uses them where the model has ramps and thresholds
    #[arg(long, value_enum, default_value = "auto", env = "OFFRAMP_EXITS")]
    pub(crate) exits: ExitsSwitch,
    /// How ramps score: confidence, entropy, margin or patience(k) [default: as the thresholds]
    #[arg(long, value_name = "POLICY", env = "OFFRAMP_POLICY")]
    pub(crate) policy: Option<Policy>,
    /// One threshold for all ramps, from 0 to 1; confidence unless --policy says otherwise
    #[arg(long, value_name = "X", env = "OFFRAMP_THRESHOLD", value_parser = share::<f32>,
          conflicts_with = "thresholds")]
    pub(crate) threshold: Option<f32>,
    /// Fitted thresholds [default: thresholds.json beside the ramps]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_THRESHOLDS")]
    pub(crate) thresholds: Option<PathBuf>,
    /// Trained ramps [default: ramps.safetensors of the model]
    #[arg(long, value_name = "FILE", env = "OFFRAMP_RAMPS")]
    pub(crate) ramps: Option<PathBuf>,
}

impl ExitArgs {
    /// With the ramps and thresholds that are read.
    pub(crate) fn files(&self, files: Files) -> Files {
        files.read("--ramps", self.ramps.as_ref()).read("--thresholds", self.thresholds.as_ref())
    }

    /// Refuses flags that nothing would come of.
    pub(crate) fn expect_sense(&self, given: &Given) -> crate::failure::Result<()> {
        let is_off = self.exits == ExitsSwitch::Off;
        let flags = ["ramps", "thresholds", "threshold", "policy"];
        given.refuse(is_off, &flags, "with --exits off, where every row runs to the end")?;
        let is_watching = self.exits == ExitsSwitch::Watch;
        given.refuse(is_watching, &flags[1..3], "with --exits watch, where nobody leaves")
    }

    /// As [`expect_sense`](Self::expect_sense), where only rows that leave are of interest.
    pub(crate) fn expect_leaving(&self, given: &Given) -> crate::failure::Result<()> {
        if self.exits == ExitsSwitch::Watch {
            let message = "--exits watch, where nobody leaves, shows nothing here: it is for \
                           classify --record";
            return Err(crate::failure::Failure::Usage(message.to_owned()));
        }
        self.expect_sense(given)
    }
}

/// `--exits`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitsSwitch {
    /// Where the model has ramps and thresholds
    Auto,
    /// Or fail
    On,
    /// Every row runs to the end
    Off,
    /// Every ramp runs and shows what it would say, nobody leaves
    Watch,
}

/// What becomes of answered rows where nothing is said: the same in every verb.
pub(crate) const AFTER_EXIT: AfterExitArg = AfterExitArg::Compact;

/// `--after-exit`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterExitArg {
    /// The row runs on to the end: full feedback, no compute saved
    Release,
    /// The row leaves too, and the others are packed together
    Compact,
}

impl From<AfterExitArg> for AfterExit {
    fn from(arg: AfterExitArg) -> Self {
        match arg {
            AfterExitArg::Release => Self::Release,
            AfterExitArg::Compact => Self::Compact,
        }
    }
}

/// What is promised.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct PromiseArgs {
    /// Most answers that may differ from the full model's: 0.01 or 1%
    #[arg(long, value_name = "SHARE", default_value = "1%", env = "OFFRAMP_MAX_DISAGREEMENT",
          value_parser = percentage)]
    pub(crate) max_disagreement: f64,
    /// How sure the promise is: 0.95 or 95%
    #[arg(long, value_name = "SHARE", default_value = "95%", env = "OFFRAMP_CONFIDENCE",
          value_parser = percentage)]
    pub(crate) confidence: f64,
    /// What must keep the promise: bound, an upper bound of the disagreement; or point, the share
    /// that was counted, which is broken more often
    #[arg(long, value_enum, default_value = "bound", env = "OFFRAMP_PROMISE")]
    pub(crate) promise: PromiseArg,
}

impl PromiseArgs {
    pub(crate) fn goal(&self) -> Goal {
        let confidence = (self.promise == PromiseArg::Bound).then_some(self.confidence);
        Goal { agreement: 1.0 - self.max_disagreement, confidence }
    }
}

/// `--promise`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromiseArg {
    /// The upper bound of the disagreement keeps it
    Bound,
    /// The share counted in the window keeps it
    Point,
}

/// `--json`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct JsonArg {
    /// Print JSON
    #[arg(long, env = "OFFRAMP_JSON", value_parser = switch())]
    pub(crate) json: bool,
}

/// A flag that its twin may set to 1, true, yes or on.
pub(crate) fn switch() -> impl TypedValueParser<Value = bool> {
    BoolishValueParser::new()
}

fn rows() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=65_536)
}

fn tokens() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=16_777_216)
}

fn threads() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=1024)
}

/// A count of at least one.
pub(crate) fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u64::from(u32::MAX))
}

/// A number from 0 to 1.
pub(crate) fn share<T>(text: &str) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + From<u8>,
{
    let number = text.parse::<T>().map_err(|_| "not a number".to_owned())?;
    let fits = number >= T::from(0) && number <= T::from(1);
    fits.then_some(number).ok_or_else(|| "must be from 0 to 1".to_owned())
}

/// A number above 0 and below 1.
pub(crate) fn open_share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = number > 0.0 && number < 1.0;
    fits.then_some(number).ok_or_else(|| "must be above 0 and below 1".to_owned())
}

/// `99 %`, with as many digits as it takes.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", (share * 1e6).round() / 1e4)
}

/// How far apart two numbers may be.
pub(crate) fn tolerance(text: &str) -> Result<f32, String> {
    open_share(text).map(|tolerance| tolerance as f32)
}

/// `0.01` or `1%`, above 0 and below 1.
fn percentage(text: &str) -> Result<f64, String> {
    let Some(percent) = text.strip_suffix('%') else { return open_share(text) };
    let number: f64 = percent.trim().parse().map_err(|_| "not a number".to_owned())?;
    open_share(&(number / 100.0).to_string())
}

/// A finite number of seconds above 0.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let fits = number > 0.0 && number <= 86_400.0;
    fits.then_some(number).ok_or_else(|| "must be above 0 and at most 86400".to_owned())
}
