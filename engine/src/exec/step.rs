//! Groups: rows come, run one segment at a time, wait at sites, come together, and go.
//!
//! ```text
//! admit ─► step ─► step ─► .. ─► finish        one group to the end: `Engine::run`
//!            └─ park ─► gather ─► step         at a site: later, alone or with others
//! ```

use offramp_kernels::{Device, LiveBound, Op, RowSlot};

use super::facts::RowFacts;
use super::{Answer, Engine, Group, Observation, Packing, PassReport, PassSettings, Sink};
use crate::batch::Batch;
use crate::clock;
use crate::error::{Error, Result};
use crate::exit::AfterExit;
use crate::plan::Site;
use crate::rows::LiveRow;

/// Issues ops in order, each for what the one before leaves alive.
pub(super) fn issue_all(device: &mut dyn Device, ops: &[Op], mut live: LiveBound) -> Result<()> {
    for op in ops {
        device.issue(op, live)?;
        live = op.leaves(live);
    }
    Ok(())
}

impl Engine {
    /// Takes the rows of a batch in as a group, which runs from now on under `settings`; `None`
    /// where there is no room for them beside those that are there. Only one group runs at a time:
    /// the others are parked, or have run to their end.
    ///
    /// # Errors
    /// Settings that do not fit the plan; another group runs; the device failed.
    pub fn admit(&mut self, batch: &Batch, settings: &PassSettings<'_>) -> Result<Option<Group>> {
        self.retire_left_over()?;
        self.check(settings)?;
        let room = self.device.room();
        if batch.rows() > room.rows || batch.tokens() > room.places || room.groups == 0 {
            return Ok(None);
        }
        self.audit.draw(batch.rows(), settings);
        let mut group = self.spares.pop().unwrap_or_else(|| Group::with_capacity(&self.plan));
        group.begin(settings);
        let admitted = self.admit_into(&mut group, batch, settings);
        if let Err(error) = admitted {
            self.spares.push(group);
            return Err(error);
        }
        Ok(Some(group))
    }

    /// Fills a group that has no rows, by the audit that was drawn for them.
    fn admit_into(
        &mut self,
        group: &mut Group,
        batch: &Batch,
        settings: &PassSettings<'_>,
    ) -> Result<()> {
        group.report.rows = batch.rows();
        group.report.tokens = batch.tokens();
        group.started = clock::now();
        let input = self.input_of(batch)?;
        let rows = settings.admission(input, self.audit.stays());
        group.id = self.device.admit(&rows, &mut group.members)?;
        for (row, &slot) in group.members.iter().enumerate() {
            let tokens = batch.row_tokens(row);
            group.rows.push(LiveRow { slot, tokens });
            self.slots.admit(
                slot,
                RowFacts {
                    row,
                    tokens,
                    is_drawn: self.audit.drawn()[row],
                    stays: self.audit.stays()[row],
                    ..RowFacts::default()
                },
            );
        }
        Ok(())
    }

    /// Runs the next segment of a group, with the exit behind it; whether there is another one to
    /// run. On a GPU it may be issued only, and answers come later. `next` as in
    /// [`PassSettings::next`].
    ///
    /// # Errors
    /// The group is parked, or the device failed: then [cancel](Self::cancel) it.
    pub fn step(
        &mut self,
        group: &mut Group,
        next: Option<&Batch>,
        sink: &mut dyn Sink,
    ) -> Result<bool> {
        if group.is_parked {
            return Err(Error::Options("the group is parked: gather it first".to_owned()));
        }
        if self.has_run(group) {
            return Ok(false);
        }
        self.keep_pace(group, next, sink)?;
        if group.rows.is_empty() {
            group.next = self.plan.segments.len();
        } else {
            self.segment(group, sink)?;
            group.next += 1;
        }
        if !self.has_run(group) {
            return Ok(true);
        }
        if !group.rows.is_empty() {
            self.device.issue(&Op::Ramp(self.plan.last.clone()), group.rows.bound())?;
        }
        // A group without rows has never run: another one may.
        if !group.members.is_empty() {
            self.device.park(None)?;
        }
        Ok(false)
    }

    /// Whether nothing more is to be issued for a group.
    fn has_run(&self, group: &Group) -> bool {
        group.next == self.plan.segments.len()
    }

    fn segment(&mut self, group: &mut Group, sink: &mut dyn Sink) -> Result<()> {
        let index = group.next;
        let bound = group.rows.bound();
        issue_all(self.device.as_mut(), &self.plan.segments[index].ops, bound)?;
        group.report.segments += 1;
        group.report.token_segments += bound.tokens;
        let Some(Site { ramp, compact }) = &self.plan.segments[index].site else { return Ok(()) };
        let Some(ramp) = ramp.as_ref().filter(|ramp| group.active[ramp.exit.0 as usize]) else {
            // The device begins while the host prepares the rest.
            return if index == 0 { self.drain(sink) } else { Ok(()) };
        };
        let exit = ramp.exit.0;
        let compact = Op::Compact(compact.clone());
        self.device.issue(&Op::Ramp(ramp.clone()), bound)?;
        group.course.issue(exit, index);
        self.drain(sink)?;
        if self.is_to_pack(group, exit) {
            self.device.issue(&compact, bound)?;
            group.course.pack(exit);
            self.forget_leavers(group);
            group.report.compactions += 1;
        }
        Ok(())
    }

    fn is_to_pack(&self, group: &Group, ramp: u32) -> bool {
        group.after_exit == AfterExit::Compact
            && match group.packing {
                Packing::Auto => self.packing_pays(group, ramp),
                Packing::Always => true,
                Packing::Never => false,
            }
    }

    /// A device that runs behind has not told yet who leaves: then by what left here lately.
    fn packing_pays(&self, group: &Group, ramp: u32) -> bool {
        let tokens = group.rows.bound().tokens;
        if self.device.runs_behind() {
            let leaving = self.rates.expected(ramp as usize, tokens);
            return self.costs.pays(group.next, leaving, tokens - leaving.min(tokens));
        }
        let is_leaving = |row: &&LiveRow| {
            let facts = self.slots.of(row.slot);
            facts.answered.is_some() && !facts.stays
        };
        let leaving = group.rows.iter().filter(is_leaving).map(|row| row.tokens).sum();
        self.costs.pays(group.next, leaving, tokens - leaving)
    }

    /// Takes out the rows that are known to have left.
    pub(super) fn forget_leavers(&self, group: &mut Group) {
        let packed = group.course.packed();
        group.rows.retain(|slot| !self.slots.of(slot).is_gone(packed));
    }

    /// Parks a group at the site that it has reached: its rows stay where they are, and another
    /// group may run.
    ///
    /// # Errors
    /// It is parked already, or at no site; the engine has room for one group only.
    pub fn park(&mut self, group: &mut Group) -> Result<()> {
        let site = group.site().and_then(|site| self.plan.segments[site].site.as_ref());
        let Some(site) = site.filter(|_| !group.is_parked) else {
            return Err(Error::Options(
                "only a group that runs can be parked, at a site".to_owned(),
            ));
        };
        self.device.park(Some(&site.compact))?;
        group.is_parked = true;
        Ok(())
    }

    /// A parked group runs again, and with it the rows of `others` that are parked at the same
    /// site: from now on they are its rows, and meet what it meets. Rows that have left are packed
    /// away.
    ///
    /// # Errors
    /// Some group is not parked, or at another site; another group runs; the device failed. All
    /// groups are what they were.
    pub fn gather(&mut self, group: &mut Group, others: &mut Vec<Group>) -> Result<()> {
        let is_there = |other: &Group| other.is_parked && other.next == group.next;
        let site = group.site().and_then(|site| self.plan.segments[site].site.as_ref());
        let Some(site) = site.filter(|_| is_there(group) && others.iter().all(is_there)) else {
            return Err(Error::Options("only groups parked at one site come together".to_owned()));
        };
        self.ids.clear();
        self.ids.push(group.id);
        self.ids.extend(others.iter().map(|other| other.id));
        self.device.gather(&self.ids, &site.compact)?;
        group.is_parked = false;
        self.slots.note_ramps_met(group);
        for other in others.drain(..) {
            self.slots.note_ramps_met(&other);
            group.absorb(&other);
            self.spares.push(other);
        }
        let ramps_before = self.plan.ramp_sites().take_while(|&site| site < group.next).count();
        group.course.clear();
        if let Some(last) = (ramps_before as u32).checked_sub(1) {
            group.course.pack(last);
        }
        self.forget_leavers(group);
        Ok(())
    }

    /// Hands out the answers that have landed, of all groups.
    ///
    /// # Errors
    /// The device failed.
    pub fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.records.clear();
        self.device.exits(&mut self.records)?;
        for index in 0..self.records.len() {
            let record = self.records[index];
            if self.slots.book(&record) {
                let slot = RowSlot(record.slot);
                let place = self.slots.place(record.exit);
                sink.answer(Answer {
                    row: self.slots.of(slot).row,
                    slot,
                    label: record.label,
                    score: record.score,
                    exit: place.0,
                    depth: place.1,
                    logits: self.device.logits(offramp_kernels::ExitId(record.exit), slot),
                    is_finite: record.is_finite(),
                });
            }
        }
        Ok(())
    }

    /// Ends a group that has run to its end: waits until all its rows have been heard of, by
    /// looking for their records, hands out answers meanwhile, then what each row showed. Its slots
    /// are free.
    ///
    /// # Errors
    /// It has segments to run, or the device failed. Its rows are gone all the same.
    pub fn finish(&mut self, group: Group, sink: &mut dyn Sink) -> Result<PassReport> {
        let heard = self.hear_out(&group, None, sink);
        match heard {
            Ok(()) => self.end(group, sink),
            Err(error) => {
                self.cancel(group)?;
                Err(error)
            }
        }
    }

    /// Tells what the rows of a group showed, and retires them.
    pub(super) fn end(&mut self, group: Group, sink: &mut dyn Sink) -> Result<PassReport> {
        let mut report = group.report;
        report.elapsed = group.started.elapsed();
        let is_bad = |slot: &&RowSlot| self.slots.of(**slot).is_bad;
        report.not_finite = group.members.iter().filter(is_bad).count();
        self.observe(&group, sink);
        self.cancel(group)?;
        Ok(report)
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
            self.drain(sink)?;
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
    /// The device does not know its rows.
    pub fn cancel(&mut self, group: Group) -> Result<()> {
        let retired = self.device.retire(&group.members);
        self.spares.push(group);
        Ok(retired?)
    }

    /// What share of the tokens that reached each active ramp left there.
    fn learn_rates(&mut self, group: &Group) {
        let tokens = |slot: &RowSlot| self.slots.of(*slot).tokens;
        let mut reaching = group.members.iter().map(tokens).sum();
        for (ramp, _) in group.active.iter().enumerate().filter(|(_, active)| **active) {
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
                version: group.version,
            });
        }
    }
}
