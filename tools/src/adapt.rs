//! `--adapt`: exits that follow the inputs.

use std::path::PathBuf;

use clap::Args;
use offramp::{Engine, Exits};
use offramp_tune::TunerOptions;
use offramp_tune::adapt::{AUDIT_RATE, AdaptOptions, Adapted, Adaptive};
use offramp_tune::profile::ShapeProfile;

use crate::args::{PromiseArgs, percent, switch};
use crate::failure::{Failure, Result};
use crate::out::note;
use crate::table::counted;

/// Whether and how exits follow the inputs.
#[derive(Args, Clone, Debug)]
pub(crate) struct AdaptArgs {
    /// Let thresholds and ramps follow the inputs
    #[arg(long, env = "OFFRAMP_ADAPT", value_parser = switch())]
    adapt: bool,
    #[command(flatten)]
    promise: PromiseArgs,
    /// Write what holds at the start and every decision, a line of JSON each
    #[arg(long, value_name = "FILE", env = "OFFRAMP_JOURNAL")]
    journal: Option<PathBuf>,
}

impl AdaptArgs {
    /// Whether that is asked for.
    pub(crate) fn is_on(&self) -> bool {
        self.adapt
    }

    /// Whether the promise needs no confidence.
    pub(crate) fn is_point(&self) -> bool {
        self.promise.goal().confidence.is_none()
    }

    /// What is promised, for people.
    pub(crate) fn describe(&self) -> String {
        let goal = self.promise.goal();
        let most = format!("at most {} other answers", percent(goal.disagreement()));
        match goal.confidence {
            Some(confidence) => format!("{most}, at {} confidence", percent(confidence)),
            None => format!("{most}, as counted"),
        }
    }

    /// Where decisions are written.
    pub(crate) fn journal(&self) -> Option<&PathBuf> {
        self.journal.as_ref()
    }

    /// Starts the control thread, if that is asked for.
    pub(crate) fn start(
        &self,
        engine: &Engine,
        exits: &Exits,
        shapes: &[ShapeProfile],
        audit_rate: Option<f64>,
    ) -> Result<Option<Adaptive>> {
        if !self.adapt {
            return Ok(None);
        }
        if engine.plan().ramps() == 0 {
            let message = "--adapt needs a model with ramps, and exits that are not off";
            return Err(Failure::Usage(message.to_owned()));
        }
        let options = AdaptOptions {
            tuner: TunerOptions { goal: self.promise.goal(), ..Default::default() },
            audit_rate: audit_rate.unwrap_or(AUDIT_RATE),
            journal: self.journal.clone(),
            ..Default::default()
        };
        Ok(Some(Adaptive::start(engine, exits, shapes, &options)?))
    }

    /// Waits for the last decision; says what was done.
    pub(crate) fn finish(&self, adaptive: Adaptive) -> Result<()> {
        tell(&adaptive.finish()?);
        Ok(())
    }
}

/// Says what the control thread did.
pub(crate) fn tell(done: &Adapted) {
    note(format_args!(
        "watched {} ({} lost on the way), changed exits {}",
        counted(done.rows, "row"),
        done.lost_rows,
        counted(done.changes, "time")
    ));
}
