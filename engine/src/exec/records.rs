//! Records on their way from the device to a sink.
//!
//! What lands is booked at once, whose ever it is. An answer waits for a call that is about the
//! group of its row: its sink hears of no other rows.

use std::collections::VecDeque;

use offramp_kernels::{ExitId, ExitRecord, RowSlot};

use super::slots::SlotFacts;
use super::{Answer, Engine, Group, Sink};
use crate::error::Result;
use crate::plan::Plan;

/// Records that have landed; allocated once.
pub(super) struct Records {
    /// Not yet booked.
    landed: Vec<ExitRecord>,
    /// Answers that no sink has heard of, one a row at most, in the order in which they landed.
    answers: VecDeque<ExitRecord>,
}

impl Records {
    pub(super) fn new(plan: &Plan) -> Self {
        let rows = plan.layout.rows_max;
        Self {
            landed: Vec::with_capacity(rows * plan.layout.exits),
            answers: VecDeque::with_capacity(rows),
        }
    }

    fn book(&mut self, slots: &mut SlotFacts) {
        for record in self.landed.drain(..) {
            if slots.book(&record) {
                self.answers.push_back(record);
            }
        }
    }

    /// The next answer to a row of a group. It is told once, even where the sink panics.
    fn take(&mut self, group: u64, slots: &SlotFacts) -> Option<ExitRecord> {
        let is_of_group = |answer: &ExitRecord| slots.of(RowSlot(answer.slot)).group == group;
        let at = self.answers.iter().position(is_of_group)?;
        self.answers.remove(at)
    }

    /// All rows go.
    pub(super) fn clear(&mut self) {
        self.answers.clear();
    }

    /// Rows go: nobody will hear of them.
    pub(super) fn forget(&mut self, slots: &[RowSlot]) {
        if !self.answers.is_empty() {
            self.answers.retain(|answer| !slots.contains(&RowSlot(answer.slot)));
        }
    }
}

impl Engine {
    /// Hands out the answers that have landed, of all groups. Other calls hand out those of the
    /// group that they are about: answers to rows that are parked wait until then.
    ///
    /// # Errors
    /// The device failed.
    pub fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.land()?;
        while let Some(answer) = self.records.answers.pop_front() {
            self.tell(&answer, sink);
        }
        Ok(())
    }

    /// Hands out the answers that have landed to rows of one group.
    pub(super) fn drain_group(&mut self, group: &Group, sink: &mut dyn Sink) -> Result<()> {
        self.land()?;
        while let Some(answer) = self.records.take(group.number, &self.slots) {
            self.tell(&answer, sink);
        }
        Ok(())
    }

    pub(super) fn land(&mut self) -> Result<()> {
        self.device.exits(&mut self.records.landed)?;
        self.records.book(&mut self.slots);
        Ok(())
    }

    fn tell(&self, record: &ExitRecord, sink: &mut dyn Sink) {
        let slot = RowSlot(record.slot);
        let (exit, depth) = self.slots.place(record.exit);
        sink.answer(Answer {
            row: self.slots.of(slot).row,
            slot,
            label: record.label,
            score: record.score,
            exit,
            depth,
            logits: self.device.logits(ExitId(record.exit), slot),
            is_finite: record.is_finite(),
        });
    }
}
