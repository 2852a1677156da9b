//! From flags to a model, its ramps, and who may leave where.

use std::path::{Path, PathBuf};

use offramp::model::{files, is_there};
use offramp::plan::Plan;
use offramp::{Exits, Model, Policy, ThresholdFile, score_of};

use crate::adapt::AdaptArgs;
use crate::args::{ExitArgs, ExitsSwitch, percent};
use crate::failure::{Failure, Result};

/// Where early exits come from, settled before the engine starts.
#[derive(Clone, Debug)]
pub(crate) enum ExitPlan {
    /// Every row runs to the end.
    Off,
    /// So it does, and every ramp shows what it would say.
    Watching(Policy),
    /// One threshold for all ramps.
    Uniform(Policy, f32),
    /// Fitted thresholds.
    Fitted(ThresholdFile),
}

impl ExitPlan {
    /// The threshold snapshot for a compiled model.
    pub(crate) fn exits(&self, plan: &Plan) -> Result<Exits> {
        let exits = match self {
            Self::Off => Exits::off(plan),
            Self::Watching(policy) => Exits::watching(plan, score_of(*policy)),
            Self::Uniform(policy, threshold) => {
                Exits::uniform(plan, score_of(*policy), *threshold)?
            }
            Self::Fitted(file) => Exits::from_file(plan, file)?,
        };
        exits.check(plan)?;
        Ok(exits)
    }

    pub(crate) fn is_off(&self) -> bool {
        matches!(self, Self::Off | Self::Watching(_))
    }

    /// What there would have to be for rows to leave early, and how to make it, where exits are off
    /// for want of it.
    pub(crate) fn missing(&self, model: &Model) -> Option<String> {
        let dir = model.dir().display();
        match (self, model.ramps()) {
            (Self::Off, None) => Some(format!(
                "{dir}: no ramps, so every row runs to the end: `offramp train-ramps --model {dir} \
                 --inputs FILE` trains some"
            )),
            (Self::Off, Some(_)) => Some(format!(
                "{dir}: ramps without thresholds, so every row runs to the end: `offramp \
                 fit-thresholds --model {dir} --calibration FILE` fits some"
            )),
            _ => None,
        }
    }

    /// How ramps score; none where they do not run.
    pub(crate) fn policy(&self) -> Option<Policy> {
        match self {
            Self::Off => None,
            Self::Watching(policy) | Self::Uniform(policy, _) => Some(*policy),
            Self::Fitted(file) => Some(file.policy),
        }
    }

    /// For people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Watching(policy) => format!("{policy}, watched only"),
            Self::Uniform(policy, threshold) => format!("{policy} >= {threshold} at every ramp"),
            Self::Fitted(file) => {
                format!("{}, fitted for {} agreement", file.policy, percent(file.target_agreement))
            }
        }
    }
}

/// Opens the model with the ramps and thresholds that the flags ask for. Files that are not asked
/// for are not read, so that stale ones do no harm.
pub(crate) fn open(dir: &Path, args: &ExitArgs) -> Result<(Model, ExitPlan)> {
    let mut model = Model::open_bare(dir)?;
    if args.exits == ExitsSwitch::Off {
        return Ok((model, ExitPlan::Off));
    }
    let ramps = args.ramps.clone().unwrap_or_else(|| model.path(files::RAMPS));
    if args.ramps.is_none() && !is_there(&ramps) {
        return without_ramps(model, args);
    }
    model.load_ramps(&ramps)?;
    let plan = exit_plan(&model, &ramps, args)?;
    if let ExitPlan::Fitted(file) = &plan {
        model.set_thresholds(Some(file.clone()));
    }
    Ok((model, plan))
}

/// The thresholds that lie beside the model's ramps, where they score by `policy`. What is stale
/// or damaged was not asked for, and says nothing.
pub(crate) fn fitted(model: &Model, args: &ExitArgs, policy: Policy) -> Option<ThresholdFile> {
    let ramps = args.ramps.clone().unwrap_or_else(|| model.path(files::RAMPS));
    let file = model.read_thresholds(&ramps.with_file_name(files::THRESHOLDS)).ok()?;
    (file.policy == policy).then_some(file)
}

/// Audits tell whether early answers agree: where nobody leaves early there is nothing to tell.
pub(crate) fn expect_audits(rate: Option<f64>, plan: &ExitPlan, adapt: &AdaptArgs) -> Result<()> {
    if rate.is_none() || adapt.is_on() || !plan.is_off() {
        return Ok(());
    }
    let message = "--audit-rate needs a model with ramps and thresholds: without, every row runs \
                   to the end";
    Err(Failure::Usage(message.to_owned()))
}

fn without_ramps(model: Model, args: &ExitArgs) -> Result<(Model, ExitPlan)> {
    let is_asked = matches!(args.exits, ExitsSwitch::On | ExitsSwitch::Watch)
        || args.threshold.is_some()
        || args.thresholds.is_some();
    if !is_asked {
        return Ok((model, ExitPlan::Off));
    }
    let dir = model.dir().display();
    Err(Failure::Failed(format!(
        "{dir}: no {}, so no row can leave early: train ramps with `offramp train-ramps --model \
         {dir} --inputs FILE`, name some with --ramps, or run with --exits off",
        files::RAMPS
    )))
}

fn exit_plan(model: &Model, ramps: &Path, args: &ExitArgs) -> Result<ExitPlan> {
    if args.exits == ExitsSwitch::Watch {
        return Ok(ExitPlan::Watching(args.policy.unwrap_or(Policy::Confidence)));
    }
    let beside = ramps.with_file_name(files::THRESHOLDS);
    let file: Option<PathBuf> =
        args.thresholds.clone().or_else(|| is_there(&beside).then(|| beside.clone()));
    if let Some(threshold) = args.threshold {
        return Ok(ExitPlan::Uniform(args.policy.unwrap_or(Policy::Confidence), threshold));
    }
    let fitted = file.as_deref().map(|file| model.read_thresholds(file)).transpose()?;
    match (fitted, args.policy) {
        (Some(fitted), None) => Ok(ExitPlan::Fitted(fitted)),
        (Some(fitted), Some(policy)) if fitted.policy == policy => Ok(ExitPlan::Fitted(fitted)),
        (None, Some(policy @ Policy::Patience { .. })) => Ok(ExitPlan::Uniform(policy, 1.0)),
        (Some(_), Some(policy @ Policy::Patience { .. })) if args.thresholds.is_none() => {
            Ok(ExitPlan::Uniform(policy, 1.0))
        }
        (Some(fitted), Some(policy)) => Err(other_policy(file.as_deref(), &fitted, policy)),
        (None, policy) => without_thresholds(model, args, policy),
    }
}

fn other_policy(file: Option<&Path>, fitted: &ThresholdFile, policy: Policy) -> Failure {
    let file = file.map_or_else(String::new, |file| file.display().to_string());
    Failure::Usage(format!(
        "{file} was fitted for {}, not for {policy}: give --threshold X, or fit anew with \
         `offramp fit-thresholds --policy {policy}`",
        fitted.policy
    ))
}

fn without_thresholds(model: &Model, args: &ExitArgs, policy: Option<Policy>) -> Result<ExitPlan> {
    if args.exits == ExitsSwitch::Auto && policy.is_none() {
        return Ok(ExitPlan::Off);
    }
    Err(Failure::Usage(format!(
        "{}: ramps without thresholds: give --threshold X, or fit some with `offramp \
         fit-thresholds --model {0} --calibration FILE`",
        model.dir().display()
    )))
}
