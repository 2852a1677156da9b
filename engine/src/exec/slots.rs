//! What the host knows of the rows that are there, by slot.

use offramp_kernels::{ExitRecord, RowSlot};

use super::answer::{Exit, Seen};
use crate::plan::Plan;

/// One row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowFacts {
    /// Its index in the batch that it came with.
    pub(super) row: usize,
    pub(super) tokens: usize,
    /// It was drawn: a row of the sample.
    pub(super) is_drawn: bool,
    /// It runs to the end whatever it answers.
    pub(super) stays: bool,
    /// The exit that answered.
    pub(super) answered: Option<u32>,
    /// The final exit has spoken.
    pub(super) has_ended: bool,
    /// What the final exit decided.
    pub(super) final_label: Option<u32>,
    /// Some logit was NaN or infinite.
    pub(super) is_bad: bool,
    /// Ramps that have spoken.
    pub(super) seen: usize,
}

impl RowFacts {
    /// Whether it is gone from the device once rows were packed behind exit `packed`.
    pub(super) fn is_gone(&self, packed: Option<u32>) -> bool {
        let left = self.answered.filter(|_| !self.stays);
        left.is_some_and(|exit| packed.is_some_and(|packed| exit <= packed))
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packing_takes_rows_out() {
        let row = |exit, stays| RowFacts { answered: exit, stays, ..RowFacts::default() };
        assert!(row(Some(1), false).is_gone(Some(1)));
        assert!(!row(Some(2), false).is_gone(Some(1)), "it left behind the packing");
        assert!(!row(Some(0), true).is_gone(Some(1)), "it stays");
        assert!(!row(Some(0), false).is_gone(None) && !row(None, false).is_gone(Some(1)));
    }
}
