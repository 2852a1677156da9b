//! How far the host may run ahead of a device that runs behind.
//!
//! The host issues a segment while the one before it runs, and no more: by then it knows who left
//! at the ramp before, launches cover fewer rows, and where nobody is left it stops.
//!
//! ```text
//! host     issue 0 │ issue 1 │ hear ramp 0, issue 2 │ hear ramp 1, issue 3
//! device             segment 0, ramp 0 │ segment 1, ramp 1 │ segment 2 ...
//! ```

use super::pass::PassState;
use super::{Engine, Sink};
use crate::batch::Batch;
use crate::error::Result;

/// Segments that may be issued beyond the last ramp that was heard.
const AHEAD: usize = 1;

/// A ramp of this pass that was issued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issued {
    ramp: u32,
    site: usize,
    /// The ramp before it behind which rows were packed last.
    packed: Option<u32>,
}

/// The ramps of a pass, as they were issued.
#[derive(Clone, Debug)]
pub(super) struct Course {
    issued: Vec<Issued>,
    packed: Option<u32>,
}

impl Course {
    pub(super) fn with_capacity(ramps: usize) -> Self {
        Self { issued: Vec::with_capacity(ramps), packed: None }
    }

    pub(super) fn clear(&mut self) {
        self.issued.clear();
        self.packed = None;
    }

    /// A ramp has been issued.
    pub(super) fn issue(&mut self, ramp: u32, site: usize) {
        self.issued.push(Issued { ramp, site, packed: self.packed });
    }

    /// Rows have been packed behind the last ramp.
    pub(super) fn pack(&mut self) {
        self.packed = self.issued.last().map(|issued| issued.ramp);
    }

    /// The ramp to be heard before segment `index` is issued.
    fn due(&self, index: usize) -> Option<Issued> {
        self.issued.iter().rev().find(|issued| issued.site + AHEAD < index).copied()
    }
}

/// Whether a row that `exit` answered is gone once rows were packed behind `packed`.
fn is_gone(exit: Option<u32>, stays: bool, packed: Option<u32>) -> bool {
    !stays && exit.is_some_and(|exit| packed.is_some_and(|packed| exit <= packed))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_due_one_segment_late() {
        let mut course = Course::with_capacity(2);
        course.issue(0, 1);
        course.pack();
        course.issue(1, 3);
        let due = |index| course.due(index).map(|issued| issued.ramp);
        assert_eq!([due(2), due(3), due(4), due(5)], [None, Some(0), Some(0), Some(1)]);
        assert_eq!(course.due(5).and_then(|issued| issued.packed), Some(0));
    }

    #[test]
    fn only_packing_takes_rows_out() {
        assert!(is_gone(Some(1), false, Some(1)));
        assert!(!is_gone(Some(2), false, Some(1)), "it left behind the packing");
        assert!(!is_gone(Some(0), true, Some(1)), "it stays");
        assert!(!is_gone(Some(0), false, None) && !is_gone(None, false, Some(1)));
    }
}
