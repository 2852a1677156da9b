//! How far the host may run ahead of a device that runs behind.
//!
//! The host issues a segment while the one before it runs, and no more: by then it knows who left
//! at the ramp before, launches cover fewer rows, and where nobody is left it stops.
//!
//! ```text
//! host     issue 0 │ issue 1 │ hear ramp 0, issue 2 │ hear ramp 1, issue 3
//! device             segment 0, ramp 0 │ segment 1, ramp 1 │ segment 2 ...
//! ```

use super::course::Issued;
use super::slots::SlotFacts;
use super::{Engine, Group, Sink};
use crate::batch::Batch;
use crate::error::Result;

/// Whether every row of a group that reached a ramp has told what it said.
fn is_heard(ramp: Issued, group: &Group, slots: &SlotFacts) -> bool {
    group.rows.iter().all(|row| {
        slots.of(row.slot).is_gone(ramp.packed)
            || slots.seen(row.slot).last().is_some_and(|seen| seen.ramp >= ramp.ramp)
    })
}

impl Engine {
    /// Hands out answers, and hands over what comes `next`, until the host may issue the next
    /// segment of a group.
    pub(super) fn keep_pace(
        &mut self,
        group: &mut Group,
        next: Option<&Batch>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        if !self.device.runs_behind() {
            return Ok(());
        }
        let Some(due) = group.course.due(group.next) else { return Ok(()) };
        while !is_heard(due, group, &self.slots) {
            let is_done = self.device.is_done()?;
            self.drain_group(group, sink)?;
            if is_done {
                break;
            }
            self.use_wait(next)?;
        }
        self.forget_leavers(group);
        Ok(())
    }
}
