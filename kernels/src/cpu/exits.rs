//! What exits have said.

use super::arena::Buffer;
use crate::{ArenaLayout, Error, ExitId, ExitRecord, Result, RowSlot};

/// Records not yet handed out, and logits by exit and slot.
#[derive(Default)]
pub(crate) struct Exits {
    records: Vec<ExitRecord>,
    records_max: usize,
    rows_max: usize,
    logits_max: usize,
    /// By exit: length of the vectors its ramp gives out; 0 while it has not spoken.
    lengths: Vec<usize>,
    logits: Buffer,
}

impl Exits {
    pub(crate) fn new(layout: &ArenaLayout) -> Result<Self> {
        let records_max = layout.rows_max.saturating_mul(layout.exits);
        let mut records = Vec::new();
        let bytes = records_max.saturating_mul(size_of::<ExitRecord>());
        records
            .try_reserve_exact(records_max)
            .map_err(|_| Error::OutOfMemory { what: "exit records", bytes })?;
        let logits = Buffer::new("logits", records_max.saturating_mul(layout.logits_max))?;
        Ok(Self {
            records,
            records_max,
            rows_max: layout.rows_max,
            logits_max: layout.logits_max,
            lengths: vec![0; layout.exits],
            logits,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.logits.bytes() + self.records.capacity() * size_of::<ExitRecord>()
    }

    /// Forgets records of rows that go, where they were not handed out.
    pub(crate) fn forget(&mut self, slots: &[RowSlot]) {
        if !self.records.is_empty() {
            self.records.retain(|record| !slots.contains(&RowSlot(record.slot)));
        }
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        self.records.clear();
        self.lengths.fill(0);
    }

    /// Whether `exit` is the final one.
    pub(crate) fn is_final(&self, exit: ExitId) -> bool {
        exit.0 as usize + 1 == self.lengths.len()
    }

    /// Prepares for a ramp that gives `rows` records with `len` logits each.
    pub(crate) fn open(&mut self, exit: ExitId, rows: usize, len: usize) -> Result<()> {
        let records = self.records.len() + rows;
        Error::check_fits("exit records not fetched", records, self.records_max)?;
        self.lengths[exit.0 as usize] = len;
        Ok(())
    }

    /// Keeps one row's logits and what they say.
    pub(crate) fn push(&mut self, record: ExitRecord, logits: &[f32]) {
        let at = self.at(record.exit, record.slot);
        self.logits[at..at + logits.len()].copy_from_slice(logits);
        self.records.push(record);
    }

    /// Hands the records out.
    pub(crate) fn drain(&mut self, sink: &mut Vec<ExitRecord>) {
        sink.append(&mut self.records);
    }

    /// The logits by exit and slot; empty where there are none.
    pub(crate) fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        let length = self.lengths.get(exit.0 as usize).copied().unwrap_or(0);
        if slot.0 as usize >= self.rows_max {
            return &[];
        }
        let at = self.at(exit.0, slot.0);
        self.logits.get(at..at + length).unwrap_or(&[])
    }

    fn at(&self, exit: u32, slot: u32) -> usize {
        (exit as usize * self.rows_max + slot as usize) * self.logits_max
    }
}
