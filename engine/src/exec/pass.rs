//! One forward with exits: a group that runs to its end.

use super::answer::{PassReport, Sink};
use super::{Engine, Group, PassSettings};
use crate::batch::Batch;
use crate::error::{Error, Result};

impl Engine {
    /// Runs a batch; every row is answered through `sink` exactly once, as soon as its answer is
    /// known, then observed once. Allocates nothing. Where no other group is there, the rows have
    /// the slots 0, 1, 2 .. in their order.
    ///
    /// # Errors
    /// There is no room beside groups that are parked; the device failed: rows not answered by then
    /// have no answer.
    pub fn run(
        &mut self,
        batch: &Batch,
        settings: &PassSettings<'_>,
        sink: &mut dyn Sink,
    ) -> Result<PassReport> {
        let Some(mut group) = self.admit(batch, settings)? else { return Err(no_room(batch)) };
        self.left_over.extend_from_slice(group.slots());
        let ran = self.run_to_end(&mut group, settings.next, sink);
        let ended = match ran {
            Ok(()) => self.end(group, sink),
            Err(error) => self.cancel(group).and(Err(error)),
        };
        self.left_over.clear();
        let mut report = ended?;
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
        self.drain(sink)
    }

    /// Retires the rows of a pass that a sink left by a panic.
    pub(super) fn retire_left_over(&mut self) -> Result<()> {
        if self.left_over.is_empty() {
            return Ok(());
        }
        self.device.finish()?;
        let retired = self.device.retire(&self.left_over);
        self.left_over.clear();
        Ok(retired?)
    }
}

fn no_room(batch: &Batch) -> Error {
    let rows = batch.rows();
    Error::Options(format!("no room for {rows} more rows beside those that are parked"))
}
