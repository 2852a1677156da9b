//! What exits say, in memory that both sides see.
//!
//! A ramp writes a row's logits and record, and the number of the pass last, released to the
//! system. The host looks for that number; what it finds with it is complete. Nobody waits.

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
    /// Rows of the pass.
    rows: usize,
    logits_max: usize,
    /// By exit: what is known of it in this pass.
    open: Vec<Open>,
    /// By exit and slot: the record has been read.
    read: Vec<bool>,
    /// Read, not yet handed out.
    landed: Vec<ExitRecord>,
}

#[derive(Clone, Copy, Default)]
struct Open {
    /// Length of the vectors its ramp gives out; 0 while it was not issued.
    logits: usize,
    /// Rows that may still come to it.
    missing: usize,
}

impl Exits {
    pub(super) fn new(stream: &Stream, layout: &ArenaLayout) -> Result<Self> {
        let records_max = layout.rows_max.saturating_mul(layout.exits);
        let logits_max = layout.logits_max;
        Ok(Self {
            records: MappedMemory::new(stream, "exit records", records_max)?,
            logits: MappedMemory::new(stream, "logits", records_max.saturating_mul(logits_max))?,
            rows_max: layout.rows_max,
            rows: 0,
            logits_max,
            open: vec![Open::default(); layout.exits],
            read: vec![false; records_max],
            landed: Vec::with_capacity(records_max),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.records.bytes() + self.logits.bytes()
    }

    /// Forgets the pass before; the next has so many rows.
    pub(super) fn begin(&mut self, rows: usize) {
        self.rows = rows;
        self.open.fill(Open::default());
        self.read.fill(false);
        self.landed.clear();
    }

    /// Whether `exit` is the final one.
    pub(crate) fn is_final(&self, exit: ExitId) -> bool {
        exit.0 as usize + 1 == self.open.len()
    }

    /// Whether a ramp of this exit was issued in this pass.
    pub(crate) fn is_open(&self, exit: ExitId) -> bool {
        self.open[exit.0 as usize].logits > 0
    }

    /// Reads everything that has landed and closes all exits, while the device is idle: none of
    /// their rows is still to come.
    pub(super) fn settle(&mut self, number: u32) {
        self.poll(number);
        self.open.iter_mut().for_each(|open| open.missing = 0);
    }

    /// Prepares for a ramp that gives up to `rows` records with `logits` numbers each. The device
    /// is idle if the exit was open before.
    pub(crate) fn open(&mut self, exit: ExitId, rows: usize, logits: usize) -> Result<()> {
        let missing: usize = self.open.iter().map(|open| open.missing).sum();
        let unread = self.landed.len() + missing + rows;
        Error::check_fits("exit records not fetched", unread, self.read.len())?;
        let first = self.index(exit.0, 0);
        if self.is_open(exit) {
            for index in first..first + self.rows {
                self.read[index] = false;
                self.number(index).store(0, Ordering::Relaxed);
            }
        }
        self.open[exit.0 as usize] = Open { logits, missing: rows };
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
    pub(super) fn drain(&mut self, number: u32, sink: &mut Vec<ExitRecord>) {
        self.poll(number);
        self.landed.sort_unstable_by_key(|record| (record.exit, record.slot));
        sink.append(&mut self.landed);
    }

    /// Later exits first: whoever is seen at one is then seen at those before it as well.
    fn poll(&mut self, number: u32) {
        for exit in (0..self.open.len()).rev() {
            if self.open[exit].missing > 0 {
                self.poll_exit(exit, number);
            }
        }
    }

    fn poll_exit(&mut self, exit: usize, number: u32) {
        let first = self.index(exit as u32, 0);
        for index in first..first + self.rows {
            if self.read[index] || self.number(index).load(Ordering::Acquire) != number {
                continue;
            }
            // SAFETY: in bounds; the device wrote it before the number and will not again while
            // this pass lasts.
            let Record { record, .. } = unsafe { self.records.pointer(index).read() };
            self.read[index] = true;
            self.landed.push(record);
            self.open[exit].missing = self.open[exit].missing.saturating_sub(1);
        }
    }

    /// The word that says for which pass a record is complete.
    fn number(&self, index: usize) -> &AtomicU32 {
        // SAFETY: in bounds and aligned; both sides only ever touch the word atomically.
        unsafe { AtomicU32::from_ptr(&raw mut (*self.records.pointer(index)).number) }
    }

    /// The logits by exit and slot; empty where none were read.
    pub(super) fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        let (exit, slot) = (exit.0 as usize, slot.0 as usize);
        if exit >= self.open.len() || slot >= self.rows_max {
            return &[];
        }
        let index = exit * self.rows_max + slot;
        if !self.read[index] {
            return &[];
        }
        // SAFETY: the record was read, so its logits are complete and stay until the next pass.
        unsafe { self.logits.slice(index * self.logits_max, self.open[exit].logits) }
    }

    fn index(&self, exit: u32, slot: usize) -> usize {
        exit as usize * self.rows_max + slot
    }
}
