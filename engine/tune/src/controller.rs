//! Tuner and ramp manager together: what follows the workload. Pure: what rows showed in, what is
//! to hold from now on out.

use offramp::Decision;

use super::latency::Latency;
use super::manager::Manager;
use super::search::Search;
use super::tuner::{Change, Evidence, Tuner, TunerOptions};
use super::window::OFF;
use crate::feedback::Feedback;

/// Decides thresholds and active ramps.
pub struct Controller {
    tuner: Tuner,
    /// Without one the ramps stay as they are.
    manager: Option<Manager>,
    latency: Latency,
    rows_since_look: usize,
}

impl Controller {
    /// Over a tuner whose active ramps are the manager's.
    pub fn new(tuner: Tuner, manager: Option<Manager>, latency: Latency) -> Self {
        Self { tuner, manager, latency, rows_since_look: 0 }
    }

    /// Begins with the manager's ramps, or else with `active` ones; `thresholds`, by ramp, hold
    /// where a ramp runs.
    pub fn begin(
        search: Box<dyn Search>,
        options: TunerOptions,
        manager: Option<Manager>,
        latency: Latency,
        (active, thresholds): (&[bool], &[f32]),
    ) -> Self {
        let active = manager.as_ref().map_or(active, Manager::active).to_vec();
        let held = |(&threshold, &active): (&f32, &bool)| if active { threshold } else { OFF };
        let thresholds = thresholds.iter().zip(&active).map(held).collect();
        let tuner = Tuner::new(options, search, &latency, active, thresholds);
        Self::new(tuner, manager, latency)
    }

    /// Takes in what rows showed; what is to hold from now on, where that changes.
    pub fn step(&mut self, rows: impl IntoIterator<Item = Feedback>) -> Option<Change> {
        let mut taken = 0;
        let counted = rows.into_iter().inspect(|_| taken += 1);
        let change = self.tuner.step(counted);
        self.rows_since_look += taken;
        // A promise in danger comes first.
        change.or_else(|| self.look())
    }

    /// By ramp.
    pub fn thresholds(&self) -> &[f32] {
        self.tuner.thresholds()
    }

    /// What the window shows of the thresholds in force.
    pub fn evidence(&self) -> Evidence {
        self.tuner.evidence()
    }

    /// What rows' words decide, and when two are the same.
    pub fn decision(&self) -> Decision {
        self.tuner.decision()
    }

    /// Ramps that run.
    pub fn active(&self) -> &[bool] {
        self.tuner.active()
    }

    fn look(&mut self) -> Option<Change> {
        let manager = self.manager.as_mut()?;
        if self.rows_since_look < manager.period_rows() {
            return None;
        }
        self.rows_since_look = 0;
        let active = manager.step(&self.tuner.prospects(), &self.latency)?;
        Some(self.tuner.activate(active, &self.latency))
    }
}
