//! What a server says at its start: what it will do, and what is lacking.

use std::path::Path;

use offramp::model::{files, is_there};
use offramp::{Exits, Model};
use offramp_serve::{Exiting, Served};
use offramp_tune::adapt::AUDIT_RATE;

use super::Serve;
use crate::args::{AfterExitArg, ExitsSwitch, percent};
use crate::failure::{Failure, Result};
use crate::open::ExitPlan;

/// One of ramps and thresholds without the other: nobody leaves early, as if there were neither.
pub(super) fn half_pair(args: &Serve, model: &Model, plan: &ExitPlan) -> Option<String> {
    let is_auto = args.exits.exits == ExitsSwitch::Auto;
    if !is_auto || !matches!(plan, ExitPlan::Off) {
        return None;
    }
    let beside = |file: &str| is_there(&model.path(file));
    let dir = model.dir().display();
    let ramps = args.exits.ramps.clone().unwrap_or_else(|| model.path(files::RAMPS));
    match (is_there(&ramps), beside(files::THRESHOLDS)) {
        (true, _) => Some(format!(
            "{}: ramps without thresholds: fit some with `offramp fit-thresholds --model {dir} \
             --calibration FILE`",
            ramps.display()
        )),
        (false, true) => Some(format!(
            "{}: thresholds without {}: train ramps with `offramp train-ramps --model {dir} \
             --inputs FILE`",
            model.path(files::THRESHOLDS).display(),
            files::RAMPS
        )),
        (false, false) => None,
    }
}

/// A reload that finds one without the other came while files were copied.
pub(super) fn refuse_half_pair(half: Option<String>, dir: &Path) -> Result<()> {
    let refused = |half| Failure::Failed(format!("{}: half a pair: {half}", dir.display()));
    half.map_or(Ok(()), |half| Err(refused(half)))
}

/// The one line on what will be done.
pub(super) fn tell(args: &Serve, served: &Served, plan: &ExitPlan) {
    let (exits, ramps) = (exits(&served.exiting), served.engine.plan().ramps());
    let active = exits.active.iter().filter(|&&is_active| is_active).count();
    let live = args.adapt.is_on();
    let nobody_leaves = !live && plan.is_off();
    let exits = match plan {
        _ if live => format!("adaptive, from {}", plan.describe()),
        ExitPlan::Off if args.exits.exits == ExitsSwitch::Auto => {
            "off: every row runs to the end; see `offramp train-ramps`".to_owned()
        }
        plan => plan.describe(),
    };
    let promise = if live { args.adapt.describe() } else { "none".to_owned() };
    let audits = match (args.after_exit, args.audit_rate) {
        _ if nobody_leaves => "none".to_owned(),
        (AfterExitArg::Release, _) => "every row".to_owned(),
        (AfterExitArg::Compact, None) if !live => "none".to_owned(),
        (AfterExitArg::Compact, rate) => {
            format!("{} of rows", percent(rate.unwrap_or(AUDIT_RATE)))
        }
    };
    let reads = if served.model.spec().image().is_some() {
        "images"
    } else if is_there(&served.model.path(files::TOKENIZER)) {
        "texts and tokens"
    } else {
        "tokens"
    };
    let ramps = format!("{active} of {ramps} run");
    tracing::info!(exits, promise, audits, ramps, reads, "what will be done");
}

fn exits(exiting: &Exiting) -> &Exits {
    match exiting {
        Exiting::Fixed(exits) => exits,
        Exiting::Live(adaptive) => adaptive.exits(),
    }
}
