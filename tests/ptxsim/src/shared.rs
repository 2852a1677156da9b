//! Shared memory of a block, and who touched it since the last barrier.
//!
//! Each 4 bytes have a cell: the last writer and the readers of the current epoch, by warp and
//! byte. A barrier begins a new epoch. A barrier of a part of the block does so too, so races
//! across such barriers go unseen; no sound program is accused. Within a warp a lane must not read
//! what another wrote without a `bar.warp.sync` in between; other races of lanes go unseen.

use std::ops::Range;

use crate::FaultKind;
use crate::fault::{Problem, Step};

/// Who touches memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toucher {
    pub(crate) warp: u32,
    pub(crate) lane: u32,
    /// How often the warp has passed a `bar.warp.sync`.
    pub(crate) syncs: u32,
    /// Line of the PTX.
    pub(crate) line: u32,
}

#[derive(Clone, Copy, Default, Debug)]
struct Cell {
    readers: u32,
    read_epoch: u32,
    write_epoch: u32,
    write_line: u32,
    /// Of the writer at the last write.
    write_syncs: u32,
    writer: u8,
    /// The lane that wrote; `MANY` where several share the cell.
    write_lane: u8,
    /// Bytes of the last write, as bits; bit 4: it was atomic.
    write_bytes: u8,
    /// Bytes read in `read_epoch`.
    read_bytes: u8,
    /// Bytes ever written, as bits; bit 4: a copy is on its way. Of this block only if
    /// `write_epoch` is.
    state: u8,
}

impl Cell {
    /// Without what is left of blocks that ended before `first_epoch`.
    #[inline(always)]
    fn of_block(&mut self, first_epoch: u32) -> &mut Self {
        if self.write_epoch < first_epoch {
            self.state = 0;
        }
        self
    }

    /// Whether another lane of the same warp wrote it, and the warp has not met since.
    fn is_of_another_lane(&self, by: Toucher) -> bool {
        self.write_syncs == by.syncs && self.write_lane != by.lane as u8 && self.write_lane != MANY
    }
}

const ATOMIC: u8 = 16;
const MANY: u8 = 32;
const PENDING: u8 = 16;

/// The shared memory of one block.
#[derive(Debug)]
pub(crate) struct Shared {
    bytes: Vec<u8>,
    cells: Vec<Cell>,
    epoch: u32,
    /// The first epoch of this block.
    first_epoch: u32,
}

impl Shared {
    pub(crate) fn new(bytes: usize) -> Self {
        let room = bytes.next_multiple_of(16);
        Self {
            bytes: vec![0; room],
            cells: vec![Cell::default(); room / 4],
            epoch: 1,
            first_epoch: 1,
        }
    }

    /// Ready for the next block: nothing has been written.
    pub(crate) fn reset(&mut self) {
        if self.epoch > u32::MAX / 2 {
            self.cells.fill(Cell::default());
            self.epoch = 0;
        }
        self.epoch += 1;
        self.first_epoch = self.epoch;
    }

    /// Four words at an offset in bounds.
    #[inline]
    pub(crate) fn words(&self, at: u32) -> [u32; 4] {
        let bytes = self.bytes[at as usize..][..16].as_chunks::<4>().0;
        std::array::from_fn(|i| u32::from_le_bytes(bytes[i]))
    }

    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// After a barrier nothing before it can be raced with.
    pub(crate) fn barrier(&mut self) {
        self.epoch += 1;
    }

    /// `bytes` (1, 2, 4 or 8) at an offset in bounds.
    #[inline]
    pub(crate) fn load(&self, at: u32, bytes: u32) -> u64 {
        let at = at as usize;
        let bytes = bytes as usize;
        let mut value = [0; 8];
        value[..bytes].copy_from_slice(&self.bytes[at..at + bytes]);
        u64::from_le_bytes(value)
    }

    #[inline]
    pub(crate) fn store(&mut self, at: u32, bytes: u32, value: u64) {
        let (at, bytes) = (at as usize, bytes as usize);
        self.bytes[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
    }

    /// Writes whole bytes: a copy that lands.
    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    /// Bounds and alignment.
    #[inline]
    pub(crate) fn check(&self, at: u64, bytes: u32, lane: usize) -> Step {
        let bytes = u64::from(bytes);
        if at >= self.len() || bytes > self.len() - at {
            let found = format!(
                "expected shared memory of {} bytes to hold {bytes} bytes at {at:#x}",
                self.len()
            );
            return Err(Problem::new(FaultKind::OutOfBounds, lane as u32, found));
        }
        if !at.is_multiple_of(bytes) {
            let found = format!("expected a multiple of {bytes}, found shared address {at:#x}");
            return Err(Problem::new(FaultKind::Misaligned, lane as u32, found));
        }
        Ok(())
    }

    /// Notes a read; `relaxed` ones race with nothing.
    #[inline]
    pub(crate) fn note_read(&mut self, at: u32, bytes: u32, by: Toucher, relaxed: bool) -> Step {
        let (epoch, first_epoch) = (self.epoch, self.first_epoch);
        let (cells, part) = parts(at, bytes);
        let me = 1 << by.warp;
        for cell in &mut self.cells[cells] {
            let again = cell.read_epoch == epoch
                && cell.readers & me != 0
                && cell.read_bytes & part == part
                && cell.write_epoch < epoch;
            if again && cell.state & PENDING == 0 {
                continue;
            }
            let cell = cell.of_block(first_epoch);
            let unsound = cell.state & PENDING != 0
                || cell.state & part != part
                || (cell.write_epoch == epoch
                    && cell.write_bytes & part != 0
                    && !relaxed
                    && (cell.writer != by.warp as u8 || cell.is_of_another_lane(by)));
            if unsound {
                let cell = *cell;
                return Err(unsound_touch("read", at, &cell, part, by));
            }
            if cell.read_epoch != epoch {
                cell.read_epoch = epoch;
                cell.readers = 0;
                cell.read_bytes = 0;
            }
            if !relaxed {
                cell.readers |= me;
                cell.read_bytes |= part;
            }
        }
        Ok(())
    }

    /// Notes a write; atomic ones do not race with one another.
    #[inline]
    pub(crate) fn note_write(&mut self, at: u32, bytes: u32, by: Toucher, atomic: bool) -> Step {
        let (epoch, first_epoch) = (self.epoch, self.first_epoch);
        let (cells, part) = parts(at, bytes);
        for cell in &mut self.cells[cells] {
            let cell = cell.of_block(first_epoch);
            let written = cell.write_epoch == epoch
                && cell.writer != by.warp as u8
                && cell.write_bytes & part != 0
                && !(atomic && cell.write_bytes & ATOMIC != 0);
            let read = cell.read_epoch == epoch
                && cell.readers & !(1 << by.warp) != 0
                && cell.read_bytes & part != 0;
            if cell.state & PENDING != 0 || written || read {
                let cell = *cell;
                let readers = if written { 0 } else { cell.readers & !(1 << by.warp) };
                return Err(unsound_write(at, &cell, part, by, readers));
            }
            let stale = cell.write_epoch != epoch
                || cell.writer != by.warp as u8
                || cell.write_syncs != by.syncs;
            if cell.write_epoch != epoch || cell.writer != by.warp as u8 {
                cell.write_bytes = 0;
            }
            let same = stale || cell.write_lane == by.lane as u8;
            cell.write_lane = if same && !atomic { by.lane as u8 } else { MANY };
            cell.write_syncs = by.syncs;
            cell.write_epoch = epoch;
            cell.writer = by.warp as u8;
            cell.write_line = by.line;
            cell.write_bytes = (cell.write_bytes & 15) | part | if atomic { ATOMIC } else { 0 };
            cell.state |= part;
        }
        Ok(())
    }

    /// A read-modify-write: what it finds must have been written.
    pub(crate) fn note_atomic(&mut self, at: u32, bytes: u32, by: Toucher) -> Step {
        let (cells, part) = parts(at, bytes);
        for cell in &mut self.cells[cells] {
            let cell = *cell.of_block(self.first_epoch);
            if cell.state & part != part {
                return Err(unsound_touch("atomic", at, &cell, part, by));
            }
        }
        self.note_write(at, bytes, by, true)
    }

    /// A copy sets out for these bytes.
    pub(crate) fn begin_copy(&mut self, at: u32, bytes: u32, by: Toucher) -> Step {
        self.note_write(at, bytes, by, false)?;
        for cell in &mut self.cells[parts(at, bytes).0] {
            cell.state |= PENDING;
        }
        Ok(())
    }

    /// A copy has landed, as a write of now.
    pub(crate) fn end_copy(&mut self, at: u32, bytes: u32, by: Toucher) -> Step {
        for cell in &mut self.cells[parts(at, bytes).0] {
            cell.state &= !PENDING;
        }
        self.note_write(at, bytes, by, false)
    }
}

/// The cells of an aligned access, and its bytes in each of them as bits.
#[inline(always)]
fn parts(at: u32, bytes: u32) -> (Range<usize>, u8) {
    let first = at as usize / 4;
    let part = if bytes < 4 { ((1u8 << bytes) - 1) << (at % 4) } else { 15 };
    (first..first + bytes.div_ceil(4) as usize, part)
}

#[cold]
fn unsound_touch(what: &str, at: u32, cell: &Cell, part: u8, by: Toucher) -> Box<Problem> {
    let Cell { writer, write_line, .. } = cell;
    if cell.state & PENDING != 0 {
        let found = format!(
            "{what} of shared {at:#x} before the cp.async of warp {writer} (PTX line \
             {write_line}) was waited for"
        );
        return Problem::new(FaultKind::AsyncPending, by.lane, found);
    }
    if cell.state & part != part && what != "write" {
        let found = format!("{what} of shared {at:#x}, which nothing was written to");
        return Problem::new(FaultKind::UninitialisedMemory, by.lane, found);
    }
    if *writer == by.warp as u8 {
        let found = format!(
            "{what} of shared {at:#x} by lane {} without a bar.warp.sync after the write of lane \
             {} (PTX line {write_line})",
            by.lane, cell.write_lane
        );
        return Problem::new(FaultKind::SharedRace, by.lane, found);
    }
    let found = format!(
        "{what} of shared {at:#x} by warp {} without a barrier after the write of warp {writer} \
         (PTX line {write_line})",
        by.warp
    );
    Problem::new(FaultKind::SharedRace, by.lane, found)
}

/// `readers`: the warps that read it in this epoch, where that is what is wrong.
#[cold]
fn unsound_write(at: u32, cell: &Cell, part: u8, by: Toucher, readers: u32) -> Box<Problem> {
    if readers == 0 || cell.state & PENDING != 0 {
        return unsound_touch("write", at, cell, part, by);
    }
    let found = format!(
        "write of shared {at:#x} by warp {} without a barrier after the read of warp {}",
        by.warp,
        readers.trailing_zeros()
    );
    Problem::new(FaultKind::SharedRace, by.lane, found)
}
