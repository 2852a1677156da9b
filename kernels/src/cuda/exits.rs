//! What exits say, in memory that both sides see.
//!
//! A ramp writes a row's logits and record, and the number of the row's admission last, released
//! to the system. The host looks for that number; what it finds with it is complete. Nobody waits.

use std::sync::atomic::{AtomicU32, Ordering};

use bytemuck::{Pod, Zeroable};

use super::driver::Address;
use super::memory::MappedMemory;
use super::stream::Stream;
use crate::{ArenaLayout, Error, ExitId, ExitRecord, Result, RowSlot};

/// `Record` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Record {
    record: ExitRecord,
    number: u32,
}

/// Records and logits by exit and slot, and how far the host has read.
pub(crate) struct Exits {
    records: MappedMemory<Record>,
    logits: MappedMemory<f32>,
    rows_max: usize,
    logits_max: usize,
    /// By exit: length of the vectors its ramp gives out; 0 while it was not issued.
    lengths: Vec<usize>,
    /// By exit: rows whose record may still come.
    missing: Vec<usize>,
    /// By exit and slot: what is known of the record.
    known: Vec<Known>,
    /// By slot: the number of its row's admission; 0 where there is none.
    numbers: Vec<u64>,
    /// Slots from here on have no row.
    used: usize,
    /// The highest number that was heard of.
    heard: u64,
    /// Read, not yet handed out.
    landed: Vec<ExitRecord>,
}

/// What the host knows of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// No ramp was issued that could write it.
    Nothing,
    /// It may come.
    Missing,
    Read,
}

impl Exits {
    pub(super) fn new(stream: &Stream, layout: &ArenaLayout) -> Result<Self> {
        let records_max = layout.rows_max.saturating_mul(layout.exits);
        let logits_max = layout.logits_max;
        Ok(Self {
            records: MappedMemory::new(stream, "exit records", records_max)?,
            logits: MappedMemory::new(stream, "logits", records_max.saturating_mul(logits_max))?,
            rows_max: layout.rows_max,
            logits_max,
            lengths: vec![0; layout.exits],
            missing: vec![0; layout.exits],
            known: vec![Known::Nothing; records_max],
            numbers: vec![0; layout.rows_max],
            used: 0,
            heard: 0,
            landed: Vec::with_capacity(records_max),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.records.bytes() + self.logits.bytes()
    }

    /// Rows come, with the number of their admission.
    pub(super) fn admit(&mut self, slots: &[RowSlot], number: u64) {
        for slot in slots {
            let slot = slot.0 as usize;
            self.numbers[slot] = number;
            self.used = self.used.max(slot + 1);
            for exit in 0..self.lengths.len() {
                let index = self.index(exit as u32, slot);
                self.known[index] = Known::Nothing;
            }
        }
    }

    /// Rows go: whatever exits may still say of them is not wanted. What they have said can be read
    /// until other rows come.
    pub(super) fn retire(&mut self, slots: &[RowSlot]) {
        for slot in slots.iter().map(|slot| slot.0 as usize).filter(|&slot| slot < self.rows_max) {
            self.numbers[slot] = 0;
            for exit in 0..self.lengths.len() {
                let index = self.index(exit as u32, slot);
                if self.known[index] == Known::Missing {
                    self.known[index] = Known::Nothing;
                    self.missing[exit] -= 1;
                }
            }
        }
        if !self.landed.is_empty() {
            self.landed.retain(|record| self.numbers[record.slot as usize] != 0);
        }
        while self.used > 0 && self.numbers[self.used - 1] == 0 {
            self.used -= 1;
        }
    }

    /// All rows go, while the device is idle.
    pub(super) fn clear(&mut self) {
        self.lengths.fill(0);
        self.missing.fill(0);
        self.known.fill(Known::Nothing);
        self.numbers.fill(0);
        self.used = 0;
        self.landed.clear();
    }

    /// The highest number of an admission that was heard of: all that was sent up to it has
    /// arrived.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// Whether `exit` is the final one.
    pub(crate) fn is_final(&self, exit: ExitId) -> bool {
        exit.0 as usize + 1 == self.lengths.len()
    }

    /// Whether this exit has spoken of any of these rows, or may.
    pub(super) fn is_open(&self, exit: ExitId, slots: &[RowSlot]) -> bool {
        let known = |slot: &RowSlot| self.known[self.index(exit.0, slot.0 as usize)];
        slots.iter().any(|slot| known(slot) != Known::Nothing)
    }

    /// Reads everything that has landed, while the device is idle: nothing else is still to come,
    /// and all has arrived that was sent up to admission `number`.
    pub(super) fn settle(&mut self, number: u64) {
        self.poll();
        self.heard = number;
        self.missing.fill(0);
        for known in self.known.iter_mut().filter(|known| **known == Known::Missing) {
            *known = Known::Nothing;
        }
    }

    /// Prepares for a ramp over `rows`, which gives records with `logits` numbers each. The device
    /// is idle if the exit was open for any of them before.
    pub(crate) fn open(&mut self, exit: ExitId, rows: &[RowSlot], logits: usize) -> Result<()> {
        let missing: usize = self.missing.iter().sum();
        let unread = self.landed.len() + missing + rows.len();
        Error::check_fits("exit records not fetched", unread, self.known.len())?;
        for slot in rows {
            let index = self.index(exit.0, slot.0 as usize);
            if self.known[index] == Known::Read {
                self.number(index).store(0, Ordering::Relaxed);
            }
            self.missing[exit.0 as usize] += usize::from(self.known[index] != Known::Missing);
            self.known[index] = Known::Missing;
        }
        self.lengths[exit.0 as usize] = logits;
        Ok(())
    }

    /// Where the ramp of an exit writes the record of slot 0.
    pub(crate) fn records_address(&self, exit: ExitId) -> Address {
        self.records.address(self.index(exit.0, 0))
    }

    /// Where it writes the logits of slot 0; the next slot's lie [`Self::stride`] further.
    pub(crate) fn logits_address(&self, exit: ExitId) -> Address {
        self.logits.address(self.index(exit.0, 0) * self.logits_max)
    }

    /// Numbers from one slot's logits to the next.
    pub(crate) fn stride(&self) -> usize {
        self.logits_max
    }

    /// Hands out what has landed, exit by exit.
    pub(super) fn drain(&mut self, sink: &mut Vec<ExitRecord>) {
        self.poll();
        self.landed.sort_unstable_by_key(|record| (record.exit, record.slot));
        sink.append(&mut self.landed);
    }

    /// Later exits first: whoever is seen at one is then seen at those before it as well.
    fn poll(&mut self) {
        for exit in (0..self.missing.len()).rev() {
            if self.missing[exit] > 0 {
                self.poll_exit(exit);
            }
        }
    }

    fn poll_exit(&mut self, exit: usize) {
        for slot in 0..self.used {
            let index = self.index(exit as u32, slot);
            let number = self.numbers[slot];
            if self.known[index] != Known::Missing
                || self.number(index).load(Ordering::Acquire) != number as u32
            {
                continue;
            }
            // SAFETY: in bounds; the device wrote it before the number and will not again while
            // the row is there.
            let Record { record, .. } = unsafe { self.records.pointer(index).read() };
            self.known[index] = Known::Read;
            self.heard = self.heard.max(number);
            self.landed.push(record);
            self.missing[exit] -= 1;
        }
    }

    /// The word that says for which admission a record is complete.
    fn number(&self, index: usize) -> &AtomicU32 {
        // SAFETY: in bounds and aligned; both sides only ever touch the word atomically.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.records.pointer(index)).number) }
    }

    /// The logits by exit and slot; empty where none were read.
    pub(super) fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        let (exit, slot) = (exit.0 as usize, slot.0 as usize);
        if exit >= self.lengths.len() || slot >= self.rows_max {
            return &[];
        }
        let index = exit * self.rows_max + slot;
        if self.known[index] != Known::Read {
            return &[];
        }
        // SAFETY: the record was read, so its logits are complete and stay while the row does.
        unsafe { self.logits.slice(index * self.logits_max, self.lengths[exit]) }
    }

    fn index(&self, exit: u32, slot: usize) -> usize {
        exit as usize * self.rows_max + slot
    }
}
