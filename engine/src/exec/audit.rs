//! Draws the rows that run to the end whatever they answer.

use offramp_kernels::RowSlot;

use super::PassSettings;
use crate::exit::AfterExit;

/// By slot, whether the row stays after its answer has left, and what its feedback weighs.
pub(super) struct Audit {
    rng: fastrand::Rng,
    stays: Vec<bool>,
    weight: f64,
}

impl Audit {
    pub(super) fn new(seed: u64, rows_max: usize) -> Self {
        let stays = Vec::with_capacity(rows_max);
        Self { rng: fastrand::Rng::with_seed(seed), stays, weight: 1.0 }
    }

    /// Every row of the batch is drawn alike and before anything about it is known: the draw
    /// cannot favour rows that are easy.
    pub(super) fn draw(&mut self, rows: usize, settings: &PassSettings<'_>) {
        let rate = match settings.after_exit {
            AfterExit::Release => 1.0,
            AfterExit::Compact => settings.audit_rate.clamp(0.0, 1.0),
        };
        self.weight = if rate > 0.0 { 1.0 / rate } else { 0.0 };
        self.stays.clear();
        let rng = &mut self.rng;
        self.stays.extend((0..rows).map(|_| rate >= 1.0 || rng.f64() < rate));
    }

    /// Chooses who stays instead of drawing: for measuring.
    pub(super) fn keep(&mut self, rows: usize, stays: impl Fn(usize) -> bool) {
        self.stays.clear();
        self.stays.extend((0..rows).map(stays));
    }

    pub(super) fn stays(&self) -> &[bool] {
        &self.stays
    }

    /// The inverse of the chance that this row's final label is known: 1 for a row that no ramp
    /// let out, as it runs to the end in any case.
    pub(super) fn weight_of(&self, slot: RowSlot, left_at_ramp: bool) -> f64 {
        match (left_at_ramp, self.stays[slot.0 as usize]) {
            (false, _) => 1.0,
            (true, true) => self.weight,
            (true, false) => 0.0,
        }
    }
}
