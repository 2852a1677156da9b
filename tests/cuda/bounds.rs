//! What holds a kernel on an H100, by its counts: how many cycles of a multiprocessor each of its
//! parts needs at least. The tightest bound says what a change must lower to be of use.

use std::fmt::Write as _;

use crate::case::{Case, Counts};

/// Cycles of `mma.sync` on its own, m16n8k16: it reaches 62 % of what the tensor cores could do.
const MMA_CYCLES: f64 = 1.61;
/// Instructions that the four schedulers issue in a cycle.
const ISSUED: f64 = 4.0;
/// Bytes from the second cache to one multiprocessor in a cycle.
const CACHE_BYTES: f64 = 46.0;
const SECTOR_BYTES: f64 = 32.0;

/// Cycles of one multiprocessor, had it all of a launch to do.
pub(crate) struct Bounds {
    tensor: f64,
    /// A wavefront a cycle.
    shared: f64,
    issue: f64,
    cache: f64,
}

impl Bounds {
    pub(crate) fn of(counts: &Counts) -> Self {
        let sectors = counts.global_load_sectors + counts.global_store_sectors;
        Self {
            tensor: counts.tensor_ops as f64 * MMA_CYCLES,
            shared: counts.shared_accesses as f64,
            issue: counts.instructions as f64 / ISSUED,
            cache: sectors as f64 * SECTOR_BYTES / CACHE_BYTES,
        }
    }

    fn parts(&self) -> [(&'static str, f64); 4] {
        let Self { tensor, shared, issue, cache } = *self;
        [("tensor", tensor), ("shared", shared), ("issue", issue), ("cache", cache)]
    }

    /// The part that needs most, and its cycles.
    pub(crate) fn tightest(&self) -> (&'static str, f64) {
        let parts = self.parts().into_iter();
        parts.max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap()
    }
}

/// A line for each op.
pub(crate) fn table(measured: &[(&Case, Counts)]) -> String {
    let mut text = "op | kernel | tensor | shared | issue | cache | held by\n".to_owned();
    for (case, counts) in measured {
        let bounds = Bounds::of(counts);
        let cycles = bounds.parts().map(|(_, cycles)| format!("{cycles:.0}")).join(" | ");
        let (held_by, _) = bounds.tightest();
        writeln!(text, "{} | {} | {cycles} | {held_by}", case.name, counts.kernel).unwrap();
    }
    text
}
