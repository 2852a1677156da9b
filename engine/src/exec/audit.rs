//! Draws the rows that run to the end whatever they answer: a fair sample of all rows.

use offramp_kernels::ExitWindow;

use super::PassSettings;
use crate::exit::AfterExit;

/// By slot, whether the row stays after its answer has left.
pub(super) struct Audit {
    rng: fastrand::Rng,
    stays: Vec<bool>,
}

impl Audit {
    pub(super) fn new(seed: u64, rows_max: usize) -> Self {
        let stays = Vec::with_capacity(rows_max);
        Self { rng: fastrand::Rng::with_seed(seed), stays }
    }

    /// Every row of the batch is drawn alike and before anything about it is known: the draw
    /// cannot favour rows that are easy. Where nobody can leave all are drawn, as that costs
    /// nothing.
    pub(super) fn draw(&mut self, rows: usize, settings: &PassSettings<'_>) {
        let rate = match settings.after_exit {
            AfterExit::Compact if may_leave(settings) => settings.audit_rate.clamp(0.0, 1.0),
            AfterExit::Compact | AfterExit::Release => 1.0,
        };
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
}

/// Whether any row may leave before the end, by its score or by its window.
fn may_leave(settings: &PassSettings<'_>) -> bool {
    let PassSettings { exits, windows, .. } = settings;
    let is_open = |(&active, &threshold): (&bool, &f32)| active && threshold <= 1.0;
    exits.active.iter().zip(&exits.thresholds).any(is_open)
        || windows.iter().any(|window| window.last != ExitWindow::ANY.last)
}
