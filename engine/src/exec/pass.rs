//! One forward with exits.

use offramp_kernels::{Device, ExitRecord, ExitWindow, LiveBound, Op, PassInput, RowSlot};

use super::answer::{Answer, Exit, Observation, PassReport, Seen, Sink};
use super::course::Course;
use super::{Engine, Packing, PassSettings};
use crate::batch::Batch;
use crate::error::Result;
use crate::exit::{AfterExit, Exits};
use crate::plan::{Plan, Site};
use crate::rows::RowMap;

/// What the host knows of a pass; allocated once.
pub(super) struct PassState {
    pub(super) rows: RowMap,
    records: Vec<ExitRecord>,
    /// By slot: the exit that answered.
    pub(super) answered: Vec<Option<u32>>,
    /// By slot: the label of the final exit.
    final_labels: Vec<Option<u32>>,
    /// By slot, `ramps` places each: what the active ramps said.
    seen: Vec<Seen>,
    /// By slot: places used.
    seen_counts: Vec<u32>,
    not_finite: Vec<bool>,
    /// By exit: where it is and how deep.
    places: Vec<(Exit, f64)>,
    pub(super) course: Course,
}

impl PassState {
    pub(super) fn new(plan: &Plan) -> Self {
        let (rows, exits) = (plan.layout.rows_max, plan.layout.exits);
        let sites = plan.ramp_sites().map(Exit::Site).chain([Exit::Final]);
        Self {
            rows: RowMap::with_capacity(rows),
            records: Vec::with_capacity(rows * exits),
            answered: Vec::with_capacity(rows),
            final_labels: Vec::with_capacity(rows),
            seen: Vec::with_capacity(rows * plan.ramps()),
            seen_counts: Vec::with_capacity(rows),
            not_finite: Vec::with_capacity(rows),
            places: sites.zip(plan.depths()).collect(),
            course: Course::with_capacity(plan.ramps()),
        }
    }

    fn reset(&mut self, batch: &Batch) {
        let (rows, ramps) = (batch.rows(), self.places.len() - 1);
        self.rows.reset(batch.offsets());
        self.records.clear();
        self.course.clear();
        refill(&mut self.answered, rows, None);
        refill(&mut self.final_labels, rows, None);
        refill(&mut self.seen, rows * ramps, Seen { ramp: 0, label: 0, score: 0.0 });
        refill(&mut self.seen_counts, rows, 0);
        refill(&mut self.not_finite, rows, false);
    }

    /// Books a record; true where it is the row's answer.
    fn book(&mut self, record: &ExitRecord) -> bool {
        let slot = record.slot as usize;
        let ramps = self.places.len() - 1;
        self.not_finite[slot] |= !record.is_finite();
        if record.exit as usize == ramps {
            self.final_labels[slot] = record.is_finite().then_some(record.label);
        } else {
            let at = slot * ramps + self.seen_counts[slot] as usize;
            let ExitRecord { exit: ramp, label, score, .. } = *record;
            self.seen[at] = Seen { ramp, label, score };
            self.seen_counts[slot] += 1;
        }
        let is_answer = record.answers() && self.answered[slot].is_none();
        debug_assert_eq!(is_answer, record.answers(), "slot {slot} answered twice");
        if is_answer {
            self.answered[slot] = Some(record.exit);
        }
        is_answer
    }

    pub(super) fn seen(&self, slot: usize) -> &[Seen] {
        let from = slot * (self.places.len() - 1);
        &self.seen[from..from + self.seen_counts[slot] as usize]
    }
}

/// Issues ops in order, each for what the one before leaves alive.
pub(super) fn issue_all(device: &mut dyn Device, ops: &[Op], mut live: LiveBound) -> Result<()> {
    for op in ops {
        device.issue(op, live)?;
        live = op.leaves(live);
    }
    Ok(())
}

fn refill<T: Copy>(values: &mut Vec<T>, len: usize, value: T) {
    values.clear();
    values.resize(len, value);
}

impl Engine {
    pub(super) fn pass(
        &mut self,
        batch: &Batch,
        settings: &PassSettings<'_>,
        sink: &mut dyn Sink,
    ) -> Result<PassReport> {
        let mut report =
            PassReport { rows: batch.rows(), tokens: batch.tokens(), ..Default::default() };
        self.begin(batch, settings.exits, settings.windows)?;
        for index in 0..self.plan.segments.len() {
            self.keep_pace(index, settings.next, sink)?;
            if self.state.rows.is_empty() {
                break;
            }
            self.segment(index, settings, sink, &mut report)?;
        }
        if !self.state.rows.is_empty() {
            self.device.issue(&Op::Ramp(self.plan.last.clone()), self.state.rows.bound())?;
        }
        // Answers leave while later layers still run, and the next images arrive.
        while !self.device.is_done()? {
            self.drain(sink)?;
            self.use_wait(settings.next)?;
        }
        self.device.finish()?;
        self.drain(sink)?;
        if settings.after_exit == AfterExit::Compact {
            self.learn_rates(settings.exits, batch);
        }
        report.not_finite = self.state.not_finite.iter().filter(|&&bad| bad).count();
        Ok(report)
    }

    pub(super) fn begin(
        &mut self,
        batch: &Batch,
        exits: &Exits,
        windows: &[ExitWindow],
    ) -> Result<()> {
        self.state.reset(batch);
        let input = self.input_of(batch)?;
        self.device.begin(&PassInput {
            input,
            stays: self.audit.stays(),
            windows,
            score: exits.score,
            thresholds: &exits.thresholds,
        })?;
        Ok(())
    }

    fn segment(
        &mut self,
        index: usize,
        settings: &PassSettings<'_>,
        sink: &mut dyn Sink,
        report: &mut PassReport,
    ) -> Result<()> {
        let bound = self.state.rows.bound();
        issue_all(self.device.as_mut(), &self.plan.segments[index].ops, bound)?;
        report.segments += 1;
        report.token_segments += bound.tokens;
        let Some(Site { ramp, compact }) = &self.plan.segments[index].site else { return Ok(()) };
        let Some(ramp) = ramp.as_ref().filter(|r| settings.exits.active[r.exit.0 as usize]) else {
            // The device begins while the host prepares the rest.
            return if index == 0 { self.drain(sink) } else { Ok(()) };
        };
        self.device.issue(&Op::Ramp(ramp.clone()), bound)?;
        let (compact, ramp) = (Op::Compact(compact.clone()), ramp.exit.0);
        self.state.course.issue(ramp, index);
        self.drain(sink)?;
        if self.is_to_pack(index, ramp as usize, settings) {
            self.device.issue(&compact, bound)?;
            self.state.course.pack();
            self.state.forget_leavers(self.audit.stays());
            report.compactions += 1;
        }
        Ok(())
    }

    fn is_to_pack(&self, site: usize, ramp: usize, settings: &PassSettings<'_>) -> bool {
        settings.after_exit == AfterExit::Compact
            && match settings.packing {
                Packing::Auto => self.packing_pays(site, ramp),
                Packing::Always => true,
                Packing::Never => false,
            }
    }

    /// A device that runs behind has not told yet who leaves: then by what left here lately.
    fn packing_pays(&self, site: usize, ramp: usize) -> bool {
        if self.device.runs_behind() {
            let tokens = self.state.rows.bound().tokens;
            let leaving = self.rates.expected(ramp, tokens);
            return self.costs.pays(site, leaving, tokens - leaving.min(tokens));
        }
        let stays = self.audit.stays();
        let is_leaving = |slot: &&RowSlot| {
            let slot = slot.0 as usize;
            self.state.answered[slot].is_some() && !stays[slot]
        };
        let rows = &self.state.rows;
        let leaving = rows.slots().iter().filter(is_leaving).map(|&s| rows.tokens_of(s)).sum();
        self.costs.pays(site, leaving, rows.bound().tokens - leaving)
    }

    /// What share of the tokens that reached each active ramp left there.
    fn learn_rates(&mut self, exits: &Exits, batch: &Batch) {
        let stays = self.audit.stays();
        let mut reaching = batch.tokens();
        for (ramp, _) in exits.active.iter().enumerate().filter(|(_, active)| **active) {
            let leaves =
                |slot: &usize| self.state.answered[*slot] == Some(ramp as u32) && !stays[*slot];
            let tokens = |slot: usize| self.state.rows.tokens_of(RowSlot(slot as u32));
            let left = (0..batch.rows()).filter(leaves).map(tokens).sum();
            self.rates.learn(ramp, left, reaching);
            reaching -= left;
        }
    }

    /// Hands out the answers that have landed.
    pub(super) fn drain(&mut self, sink: &mut dyn Sink) -> Result<()> {
        self.state.records.clear();
        self.device.exits(&mut self.state.records)?;
        for index in 0..self.state.records.len() {
            let record = self.state.records[index];
            if self.state.book(&record) {
                sink.answer(self.answer(&record));
            }
        }
        Ok(())
    }

    fn answer(&self, record: &ExitRecord) -> Answer<'_> {
        let slot = RowSlot(record.slot);
        let (exit, depth) = self.state.places[record.exit as usize];
        Answer {
            slot,
            label: record.label,
            score: record.score,
            exit,
            depth,
            logits: self.device.logits(offramp_kernels::ExitId(record.exit), slot),
            is_finite: record.is_finite(),
        }
    }

    pub(super) fn observe(&self, settings: &PassSettings<'_>, sink: &mut dyn Sink) {
        let ramps = self.plan.ramps() as u32;
        for (slot, &answered) in self.state.answered.iter().enumerate() {
            let exit = answered.unwrap_or(ramps);
            let ran_on = self.audit.stays()[slot] || exit == ramps;
            sink.observe(Observation {
                slot: RowSlot(slot as u32),
                seen: self.state.seen(slot),
                exit,
                final_label: self.state.final_labels[slot].filter(|_| ran_on),
                is_sample: self.audit.drawn()[slot],
                version: settings.exits.version,
            });
        }
    }
}
