//! Groups: rows come, run one segment at a time, wait at sites, come together, and go.
//!
//! ```text
//! admit ─► step ─► step ─► .. ─► finish        one group to the end: `Engine::run`
//!            └─ park ─► gather ─► step         at a site: later, alone or with others
//! ```

use offramp_kernels::{Device, LiveBound, Op};

use super::facts::RowFacts;
use super::{Engine, Group, Packing, PassSettings, Sink};
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
    /// where there is no room for them until some of those that are there have gone. Only one group
    /// runs at a time: the others are parked, or have run to their end.
    ///
    /// # Errors
    /// A batch that is too large for the engine, whoever is there; settings that do not fit the
    /// plan; another group runs; the device failed.
    pub fn admit(&mut self, batch: &Batch, settings: &PassSettings<'_>) -> Result<Option<Group>> {
        self.retire_left_over()?;
        settings.exits.check(&self.plan)?;
        self.check_size(batch)?;
        settings.check_stays(batch)?;
        let room = self.device.room();
        if batch.rows() > room.rows || batch.tokens() > room.places || room.groups == 0 {
            return Ok(None);
        }
        self.audit.draw(batch.rows(), settings);
        let mut group = self.spares.pop().unwrap_or_else(|| Group::with_capacity(&self.plan));
        group.begin(self.id, self.admitted, settings);
        self.admitted += 1;
        let admitted = self.admit_into(&mut group, batch, settings);
        if let Err(error) = admitted {
            self.spares.push(group);
            return Err(error);
        }
        Ok(Some(group))
    }

    /// Fails for a batch that will never find room.
    fn check_size(&self, batch: &Batch) -> Result<()> {
        let layout = &self.plan.layout;
        let check = offramp_kernels::Error::check_fits;
        check("rows of the batch", batch.rows(), layout.rows_max)?;
        Ok(check("tokens of the batch", batch.tokens(), layout.tokens_max)?)
    }

    /// Fills a group that has no rows, by the audit that was drawn for them.
    fn admit_into(
        &mut self,
        group: &mut Group,
        batch: &Batch,
        settings: &PassSettings<'_>,
    ) -> Result<()> {
        if batch.rows() == 0 {
            group.next = self.plan.segments.len();
        }
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
                    group: group.number,
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
    /// run. There is none behind the last segment, nor for a group without rows or whose rows have
    /// all left, as far as the host knows. On a GPU it may be issued only, and answers come later.
    /// `next` as in [`PassSettings::next`].
    ///
    /// # Errors
    /// The group is parked, or another engine's. The device failed: then [cancel](Self::cancel) it,
    /// as where the sink panics.
    pub fn step(
        &mut self,
        group: &mut Group,
        next: Option<&Batch>,
        sink: &mut dyn Sink,
    ) -> Result<bool> {
        self.check_own(group)?;
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
        self.device.park(None)?;
        Ok(false)
    }

    /// Whether nothing more is to be issued for a group.
    pub(super) fn has_run(&self, group: &Group) -> bool {
        group.next == self.plan.segments.len()
    }

    fn segment(&mut self, group: &mut Group, sink: &mut dyn Sink) -> Result<()> {
        let index = group.next;
        let bound = group.rows.bound();
        issue_all(self.device.as_mut(), &self.plan.segments[index].ops, bound)?;
        group.report.segments += 1;
        group.report.token_segments += bound.tokens;
        let Some(Site { ramp, compact }) = &self.plan.segments[index].site else { return Ok(()) };
        let Some(ramp) = ramp.as_ref().filter(|ramp| group.exits.active[ramp.exit.0 as usize])
        else {
            // The device begins while the host prepares the rest.
            return if index == 0 { self.drain_group(group, sink) } else { Ok(()) };
        };
        let exit = ramp.exit.0;
        let compact = Op::Compact(compact.clone());
        self.device.issue(&Op::Ramp(ramp.clone()), bound)?;
        group.course.issue(exit, index);
        self.drain_group(group, sink)?;
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
    /// It is parked already, at no site, or another engine's; the engine has room for one group
    /// only.
    pub fn park(&mut self, group: &mut Group) -> Result<()> {
        self.check_own(group)?;
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

    /// A parked group runs again, and with it the rows of `others` that are parked at the same site
    /// under the same snapshot of thresholds: from now on they are its rows, packed as its settings
    /// say. Rows that have left are packed away.
    ///
    /// # Errors
    /// Some group is not parked, at another site, under another snapshot or another engine's, see
    /// [`Group::may_join`]; another group runs; the device failed. All groups are what they were.
    pub fn gather(&mut self, group: &mut Group, others: &mut Vec<Group>) -> Result<()> {
        self.check_join(group, others)?;
        self.retire_left_over()?;
        let site = group.site().and_then(|site| self.plan.segments[site].site.as_ref());
        let Some(site) = site else { return Err(not_at_one_site()) };
        self.ids.clear();
        self.ids.push(group.id);
        self.ids.extend(others.iter().map(|other| other.id));
        self.device.gather(&self.ids, &site.compact)?;
        group.is_parked = false;
        self.slots.join(group.number, group);
        for other in others.drain(..) {
            self.slots.join(group.number, &other);
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

    fn check_join(&self, group: &Group, others: &[Group]) -> Result<()> {
        self.check_own(group)?;
        others.iter().try_for_each(|other| self.check_own(other))?;
        let is_there = |other: &Group| other.is_parked && other.next == group.next;
        if !is_there(group) || !others.iter().all(is_there) {
            return Err(not_at_one_site());
        }
        if let Some(other) = others.iter().find(|other| !group.may_join(other)) {
            let expected = group.exits.version;
            let found = other.exits.version;
            return Err(Error::Options(format!(
                "groups under different exits do not come together: version {found} beside \
                 {expected}, or another score, other thresholds or ramps"
            )));
        }
        Ok(())
    }
}

fn not_at_one_site() -> Error {
    Error::Options("only groups parked at one site come together".to_owned())
}
