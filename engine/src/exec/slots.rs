//! What the host knows of the rows that are there, by slot.

use offramp_kernels::{ExitRecord, RowSlot};

use super::answer::{Exit, Seen};
use super::facts::RowFacts;
use super::group::Group;
use crate::plan::Plan;

/// All rows, by slot; allocated once.
pub(super) struct SlotFacts {
    rows: Vec<RowFacts>,
    /// By slot, one place for each ramp: what the active ramps said.
    seen: Vec<Seen>,
    /// By exit: where it is and how deep.
    places: Vec<(Exit, f64)>,
}

impl SlotFacts {
    pub(super) fn new(plan: &Plan) -> Self {
        let rows = plan.layout.rows_max;
        let sites = plan.ramp_sites().map(Exit::Site).chain([Exit::Final]);
        Self {
            rows: vec![RowFacts::default(); rows],
            seen: vec![Seen { ramp: 0, label: 0, score: 0.0 }; rows * plan.ramps()],
            places: sites.zip(plan.depths()).collect(),
        }
    }

    fn ramps(&self) -> usize {
        self.places.len() - 1
    }

    /// A row comes.
    pub(super) fn admit(&mut self, slot: RowSlot, facts: RowFacts) {
        self.rows[slot.0 as usize] = facts;
    }

    pub(super) fn of(&self, slot: RowSlot) -> &RowFacts {
        &self.rows[slot.0 as usize]
    }

    /// Rows of `group` become rows of the group that has this number. Their course ends: notes the
    /// last ramp that each has met.
    pub(super) fn join(&mut self, number: u64, group: &Group) {
        for slot in group.slots() {
            let facts = &mut self.rows[slot.0 as usize];
            facts.group = number;
            facts.met = facts.met.max(group.course.last_met(facts));
        }
    }

    /// Where an exit is, and the share of the segments run by then.
    pub(super) fn place(&self, exit: u32) -> (Exit, f64) {
        self.places[exit as usize]
    }

    /// Books a record; true where it is the row's answer.
    pub(super) fn book(&mut self, record: &ExitRecord) -> bool {
        let ramps = self.ramps();
        let slot = record.slot as usize;
        let facts = &mut self.rows[slot];
        facts.is_bad |= !record.is_finite();
        if record.exit as usize == ramps {
            facts.has_ended = true;
            facts.final_label = record.is_finite().then_some(record.label);
        } else {
            let ExitRecord { exit: ramp, label, score, .. } = *record;
            self.seen[slot * ramps + facts.seen] = Seen { ramp, label, score };
            facts.seen += 1;
        }
        let is_answer = record.answers() && facts.answered.is_none();
        debug_assert_eq!(is_answer, record.answers(), "slot {slot} answered twice");
        if is_answer {
            facts.answered = Some(record.exit);
        }
        is_answer
    }

    /// What the active ramps said of a row, in their order.
    pub(super) fn seen(&self, slot: RowSlot) -> &[Seen] {
        let from = slot.0 as usize * self.ramps();
        &self.seen[from..from + self.of(slot).seen]
    }
}
