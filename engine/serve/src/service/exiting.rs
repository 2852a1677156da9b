//! Who may leave where, and whether that follows the workload.

use crossbeam_channel::{Receiver, never};
use offramp::{AfterExit, Batch, Engine, Exits, PassReport, PassSettings, Sink};
use offramp_tune::adapt::{Adapted, Adaptive, ExitConstraints, Standing};

use crate::Result;

/// Who may leave where, and whether that follows the workload.
pub enum Exiting {
    /// One set for good.
    Fixed(Exits),
    /// As the control thread publishes them.
    Live(Box<Adaptive>),
}

impl Exiting {
    pub(crate) fn exits(&self) -> &Exits {
        match self {
            Self::Fixed(exits) => exits,
            Self::Live(adaptive) => adaptive.exits(),
        }
    }

    pub(crate) fn refresh(&mut self) {
        if let Self::Live(adaptive) = self {
            adaptive.refresh();
        }
    }

    pub(crate) fn lost_rows(&self) -> u64 {
        match self {
            Self::Fixed(_) => 0,
            Self::Live(adaptive) => adaptive.lost_rows(),
        }
    }

    pub(crate) fn run(
        &mut self,
        engine: &mut Engine,
        batch: &Batch,
        after_exit: AfterExit,
        audit_rate: f64,
        constraints: ExitConstraints<'_>,
        sink: &mut dyn Sink,
    ) -> Result<PassReport> {
        match self {
            Self::Fixed(exits) => {
                let mut settings = PassSettings::new(exits, after_exit);
                settings.audit_rate = audit_rate;
                settings.windows = constraints.windows;
                settings.stays = constraints.stays;
                Ok(engine.run(batch, &settings, sink)?)
            }
            Self::Live(live) => {
                Ok(live.run_within(engine, batch, after_exit, constraints, sink)?)
            }
        }
    }

    pub(crate) fn standing(&self) -> Option<&Standing> {
        match self {
            Self::Fixed(_) => None,
            Self::Live(adaptive) => Some(adaptive.standing()),
        }
    }

    /// Ready where anything of that is new.
    pub(crate) fn news(&self) -> Receiver<()> {
        match self {
            Self::Fixed(_) => never(),
            Self::Live(adaptive) => adaptive.news().clone(),
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Live(adaptive) => adaptive.is_lost(),
        }
    }

    /// Ends the control thread, if there is one. What is wrong with its journal is told in the log:
    /// what was served was as good without.
    ///
    /// # Errors
    /// The control thread is lost.
    pub(crate) fn finish(self) -> Result<Option<Adapted>> {
        let Self::Live(adaptive) = self else { return Ok(None) };
        let (adapted, journal) = adaptive.end()?;
        if let Some(error) = journal {
            tracing::error!(%error, "the journal is not whole");
        }
        Ok(Some(adapted))
    }
}
