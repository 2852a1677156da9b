//! Which rows run to the end whatever they answer: those that are to, and a fair sample of all.

use offramp_kernels::ExitWindow;

use super::PassSettings;
use crate::exit::AfterExit;

/// By row of the batch: whether it was drawn, and whether it stays after its answer has left.
pub(super) struct Audit {
    rng: fastrand::Rng,
    drawn: Vec<bool>,
    stays: Vec<bool>,
}

impl Audit {
    pub(super) fn new(seed: u64, rows_max: usize) -> Self {
        let room = || Vec::with_capacity(rows_max);
        Self { rng: fastrand::Rng::with_seed(seed), drawn: room(), stays: room() }
    }

    /// Every row of the batch is drawn alike and before anything about it is known: the draw
    /// cannot favour rows that are easy. Where nobody can leave all are drawn, as that costs
    /// nothing.
    pub(super) fn draw(&mut self, rows: usize, settings: &PassSettings<'_>) {
        let rate = match settings.after_exit {
            AfterExit::Compact if may_leave(settings) => settings.audit_rate.clamp(0.0, 1.0),
            AfterExit::Compact | AfterExit::Release => 1.0,
        };
        self.drawn.clear();
        let rng = &mut self.rng;
        self.drawn.extend((0..rows).map(|_| rate >= 1.0 || rng.f64() < rate));
        self.stays.clear();
        let asked = |row| settings.stays.get(row).copied().unwrap_or(false);
        let stays = self.drawn.iter().enumerate().map(|(row, &drawn)| drawn || asked(row));
        self.stays.extend(stays);
    }

    /// Chooses who stays instead of drawing: for measuring.
    pub(super) fn keep(&mut self, rows: usize, stays: impl Fn(usize) -> bool) {
        self.drawn.clear();
        self.drawn.resize(rows, false);
        self.stays.clear();
        self.stays.extend((0..rows).map(stays));
    }

    pub(super) fn drawn(&self) -> &[bool] {
        &self.drawn
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
