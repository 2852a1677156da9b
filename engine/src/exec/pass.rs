//! One forward with exits: a group that runs to its end.

use super::answer::{PassReport, Sink};
use super::{Engine, Group, PassSettings};
use crate::batch::Batch;
use crate::error::{Error, Result};

impl Engine {
    /// Runs a batch; every row is answered through `sink` exactly once, as soon as its answer is
    /// known, then observed once. Allocates nothing. Where no other group is there, the rows have
    /// the slots 0, 1, 2 .. in their order. Answers to rows that are parked meanwhile wait for a
    /// call about their group, or for [`drain`](Self::drain).
    ///
    /// # Errors
    /// As [`admit`](Self::admit); there is no room beside groups that are parked; the device
    /// failed: rows not answered by then have no answer.
    pub fn run(
        &mut self,
        batch: &Batch,
        settings: &PassSettings<'_>,
        sink: &mut dyn Sink,
    ) -> Result<PassReport> {
        let Some(mut group) = self.admit(batch, settings)? else { return Err(no_room(batch)) };
        self.left_over.extend_from_slice(group.slots());
        let ran = self.run_to_end(&mut group, settings.next, sink);
        let mut report = self.end(group, ran, sink)?;
        report.device_elapsed = self.device.pass_time()?;
        Ok(report)
    }

    fn run_to_end(
        &mut self,
        group: &mut Group,
        next: Option<&Batch>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        while self.step(group, next, sink)? {}
        self.hear_out(group, next, sink)?;
        self.device.finish()?;
        self.drain_group(group, sink)
    }
}

fn no_room(batch: &Batch) -> Error {
    let rows = batch.rows();
    Error::Options(format!("no room for {rows} more rows beside those that are parked"))
}
