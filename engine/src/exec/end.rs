//! Groups go: what their rows showed, and their slots are free.

use offramp_kernels::RowSlot;

use super::group::EngineId;
use super::{Engine, Group, Observation, PassReport, Sink};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::exit::AfterExit;

impl Engine {
    /// Ends a group that has run to its end: waits until all its rows have been heard of, by
    /// looking for their records, hands out answers meanwhile, then what each row showed. Its slots
    /// are free.
    ///
    /// # Errors
    /// It has segments to run, or the device failed: its rows are gone all the same. The group is
    /// another engine's, where its rows stay until that one is [cleared](Self::clear).
    pub fn finish(&mut self, group: Group, sink: &mut dyn Sink) -> Result<PassReport> {
        self.check_own(&group)?;
        self.retire_left_over()?;
        self.left_over.extend_from_slice(group.slots());
        let heard = self.hear_out(&group, None, sink);
        self.end(group, heard, sink)
    }

    /// Tells what the rows of a group showed, where it ran well, and retires them.
    pub(super) fn end(
        &mut self,
        group: Group,
        ran: Result<()>,
        sink: &mut dyn Sink,
    ) -> Result<PassReport> {
        let mut report = group.report;
        report.elapsed = group.started.elapsed();
        let is_bad = |slot: &&RowSlot| self.slots.of(**slot).is_bad;
        report.not_finite = group.members.iter().filter(is_bad).count();
        if ran.is_ok() {
            self.observe(&group, sink);
        }
        self.left_over.clear();
        let cancelled = self.cancel(group);
        ran.and(cancelled).map(|()| report)
    }

    /// Retires the rows of a group that a sink left by a panic while it ran to its end.
    pub(super) fn retire_left_over(&mut self) -> Result<()> {
        if self.left_over.is_empty() {
            return Ok(());
        }
        self.device.finish()?;
        self.records.forget(&self.left_over);
        let retired = self.device.retire(&self.left_over);
        self.left_over.clear();
        Ok(retired?)
    }

    /// Waits until all rows of a group have been heard of. Answers leave while later layers still
    /// run, and the images of the next batch arrive.
    pub(super) fn hear_out(
        &mut self,
        group: &Group,
        next: Option<&Batch>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        if !self.has_run(group) {
            return Err(Error::Options("the group has segments to run".to_owned()));
        }
        loop {
            let is_done = self.device.is_done()?;
            self.drain_group(group, sink)?;
            if is_done || self.is_heard_out(group) {
                break;
            }
            self.use_wait(next)?;
        }
        if group.after_exit == AfterExit::Compact {
            self.learn_rates(group);
        }
        Ok(())
    }

    /// Whether every row has said what it could: at the final exit, or, where it was packed away,
    /// at the last ramp that it met.
    fn is_heard_out(&self, group: &Group) -> bool {
        group.members.iter().all(|&slot| {
            let facts = self.slots.of(slot);
            let said = self.slots.seen(slot).last().map(|seen| seen.ramp);
            let met = facts.met.max(group.course.last_met(facts));
            facts.has_ended || (facts.is_gone(group.course.packed()) && said >= met)
        })
    }

    /// Ends a group wherever it is: its rows are answered no more, and their slots are free.
    ///
    /// # Errors
    /// The device does not know its rows; the group is another engine's, where they stay.
    pub fn cancel(&mut self, group: Group) -> Result<()> {
        self.check_own(&group)?;
        self.records.forget(&group.members);
        let retired = self.device.retire(&group.members);
        self.spares.push(group);
        Ok(retired?)
    }

    /// Ends all groups, whoever holds them, once what was issued has run: their rows are answered
    /// no more, and everything is free. For groups that were dropped before they ended.
    ///
    /// # Errors
    /// The device failed.
    pub fn clear(&mut self) -> Result<()> {
        self.device.finish()?;
        self.land()?;
        self.device.clear();
        self.records.clear();
        self.left_over.clear();
        self.id = EngineId::new();
        Ok(())
    }

    /// What share of the tokens that reached each active ramp left there.
    fn learn_rates(&mut self, group: &Group) {
        let tokens = |slot: &RowSlot| self.slots.of(*slot).tokens;
        let mut reaching = group.members.iter().map(tokens).sum();
        for (ramp, _) in group.exits.active.iter().enumerate().filter(|(_, active)| **active) {
            let leaves = |slot: &&RowSlot| {
                let facts = self.slots.of(**slot);
                facts.answered == Some(ramp as u32) && !facts.stays
            };
            let left = group.members.iter().filter(leaves).map(tokens).sum();
            self.rates.learn(ramp, left, reaching);
            reaching -= left;
        }
    }

    fn observe(&self, group: &Group, sink: &mut dyn Sink) {
        let ramps = self.plan.ramps() as u32;
        for &slot in &group.members {
            let facts = self.slots.of(slot);
            let exit = facts.answered.unwrap_or(ramps);
            let ran_on = facts.stays || exit == ramps;
            sink.observe(Observation {
                row: facts.row,
                slot,
                seen: self.slots.seen(slot),
                exit,
                final_label: facts.final_label.filter(|_| ran_on),
                is_sample: facts.is_drawn,
                version: group.exits.version,
            });
        }
    }
}
