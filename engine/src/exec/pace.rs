//! How far the host may run ahead of a device that runs behind.
//!
//! The host issues a segment while the one before it runs, and no more: by then it knows who left
//! at the ramp before, launches cover fewer rows, and where nobody is left it stops.
//!
//! ```text
//! host     issue 0 │ issue 1 │ hear ramp 0, issue 2 │ hear ramp 1, issue 3
//! device             segment 0, ramp 0 │ segment 1, ramp 1 │ segment 2 ...
//! ```

use super::course::{Issued, is_gone};
use super::pass::PassState;
use super::{Engine, Sink};
use crate::batch::Batch;
use crate::error::Result;

impl PassState {
    /// Takes out the rows that are known to have left.
    pub(super) fn forget_leavers(&mut self, stays: &[bool]) {
        let Self { rows, answered, course, .. } = self;
        rows.retain(|slot| {
            let slot = slot.0 as usize;
            !is_gone(answered[slot], stays[slot], course.packed)
        });
    }

    /// Whether every row that reached a ramp has told what it said.
    fn has_heard(&self, issued: Issued, stays: &[bool]) -> bool {
        self.rows.slots().iter().all(|slot| {
            let slot = slot.0 as usize;
            is_gone(self.answered[slot], stays[slot], issued.packed)
                || self.seen(slot).last().is_some_and(|seen| seen.ramp >= issued.ramp)
        })
    }
}

impl Engine {
    /// Hands out answers, and hands over what comes `next`, until the host may issue segment
    /// `index`.
    pub(super) fn keep_pace(
        &mut self,
        index: usize,
        next: Option<&Batch>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        if !self.device.runs_behind() {
            return Ok(());
        }
        let Some(due) = self.state.course.due(index) else { return Ok(()) };
        while !self.state.has_heard(due, self.audit.stays()) {
            let is_done = self.device.is_done()?;
            self.drain(sink)?;
            if is_done {
                break;
            }
            self.use_wait(next)?;
        }
        self.state.forget_leavers(self.audit.stays());
        Ok(())
    }
}
