//! What a block has stored and nobody else sees yet, and what its threads know.

use super::clock::Clock;
use super::hash::Map;
use super::{cells, each, line};
use crate::isa::Order;
use crate::line::{CELL, LINE, Seen};

/// Who stores or loads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct By {
    pub(crate) thread: u32,
    /// How often its warp has passed a barrier of its own.
    pub(crate) syncs: u32,
    /// How many barriers the block has passed.
    pub(crate) epoch: u32,
    /// Line of the PTX.
    pub(crate) line: u32,
    /// Number of the store in its block, given when it is kept.
    pub(crate) number: u32,
}

/// A line with what waits of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    pub(super) bytes: [u8; LINE as usize],
    /// A bit each.
    pub(super) cells: u8,
    pub(super) by: [By; (LINE / CELL) as usize],
}

/// What a thread knows that the others of its block may not.
#[derive(Debug, Default)]
struct Knowledge {
    /// What it has acquired.
    clock: Clock,
    /// What it has read of, and may acquire by a fence.
    observed: Clock,
    /// What it knew at its last fence.
    fenced: Clock,
}

/// The store buffer of a block.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    lines: Map<Line>,
    stores: u32,
    epoch: u32,
    /// Number of the last publication.
    time: u32,
    /// What all of the block know.
    clock: Clock,
    /// What all of the block knew at a fence.
    fenced: Clock,
    threads: Map<Knowledge>,
}

impl Buffer {
    /// As if the block had done nothing.
    pub(crate) fn reset(&mut self) {
        *self = Self { lines: std::mem::take(&mut self.lines), ..Self::default() };
        self.lines.clear();
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The block has passed a barrier: all know what each knew.
    pub(crate) fn barrier(&mut self) {
        self.epoch += 1;
        for knowledge in self.threads.values_mut() {
            self.clock.join(&knowledge.clock);
            self.fenced.join(&knowledge.fenced);
            knowledge.clock.clear();
            knowledge.fenced.clear();
        }
    }

    /// The lanes `run` of a warp have passed a barrier of their own.
    pub(crate) fn warp_barrier(&mut self, warp: u32, run: u32) {
        let threads = || (0..32).filter(|lane| run >> lane & 1 != 0).map(|lane| warp * 32 + lane);
        if !threads().any(|thread| self.threads.contains_key(&thread.into())) {
            return;
        }
        let mut all = Knowledge::default();
        for thread in threads() {
            if let Some(knowledge) = self.threads.get(&thread.into()) {
                all.clock.join(&knowledge.clock);
                all.fenced.join(&knowledge.fenced);
            }
        }
        for thread in threads() {
            let knowledge = self.threads.entry(thread.into()).or_default();
            knowledge.clock.join(&all.clock);
            knowledge.fenced.join(&all.fenced);
        }
    }

    /// A weak store, at most a line.
    pub(crate) fn put(&mut self, address: u64, bytes: &[u8], by: By) {
        self.stores += 1;
        let by = By { number: self.stores, ..by };
        let held = self.lines.entry(line(address)).or_default();
        let at = (address % LINE) as usize;
        held.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        let stored = cells(address, bytes.len() as u32);
        held.cells |= stored;
        for cell in each(stored) {
            held.by[cell as usize] = by;
        }
    }

    /// Takes `wanted` cells at `address` out, whoever stored them: a strong access comes.
    pub(crate) fn remove(&mut self, address: u64, wanted: u8) -> Option<(u8, [u8; LINE as usize])> {
        let held = self.lines.get_mut(&line(address))?;
        let taken = held.cells & wanted;
        held.cells &= !wanted;
        (taken != 0).then_some((taken, held.bytes))
    }

    /// Puts what waits of the line at `address` over what is seen of it.
    pub(super) fn overlay(&self, address: u64, seen: &mut Seen) {
        if let Some(held) = self.lines.get(&address) {
            for cell in each(held.cells) {
                seen.take(cell, &held.bytes, u8::MAX);
            }
        }
    }

    /// Takes out the cells that `is_due`.
    pub(super) fn take(&mut self, is_due: impl Fn(u64, By) -> bool) -> Vec<(u64, Line)> {
        let mut due = Vec::new();
        for (&address, held) in &mut self.lines {
            let is_due = |cell: &u64| is_due(address, held.by[*cell as usize]);
            let mask = each(held.cells).filter(is_due).fold(0, |mask, cell| mask | 1 << cell);
            if mask != 0 {
                held.cells &= !mask;
                due.push((address, Line { cells: mask, ..*held }));
            }
        }
        due
    }

    /// Takes out everything, a store at a time, the newest first.
    pub(super) fn take_newest_first(&mut self) -> Vec<(u64, Line)> {
        let mut all = Vec::new();
        for (address, held) in self.lines.drain() {
            let mut left = held.cells;
            while left != 0 {
                let number = held.by[left.trailing_zeros() as usize].number;
                let same = each(left).filter(|&cell| held.by[cell as usize].number == number);
                let mask = same.fold(0, |mask, cell| mask | 1 << cell);
                all.push((number, address, Line { cells: mask, ..held }));
                left &= !mask;
            }
        }
        all.sort_unstable_by_key(|&(number, address, _)| (std::cmp::Reverse(number), address));
        all.into_iter().map(|(_, address, line)| (address, line)).collect()
    }

    /// The number of a new publication.
    pub(super) fn tick(&mut self) -> u32 {
        self.time += 1;
        self.time
    }

    /// Up to which publication of `block` a thread knows it.
    pub(super) fn knows_until(&self, by: By, block: u32) -> u32 {
        let own = self.threads.get(&by.thread.into()).map_or(0, |own| own.clock.of(block));
        own.max(self.clock.of(block))
    }

    /// All that a thread of block `block` knows, its own publications included.
    pub(super) fn knowledge(&self, by: By, block: u32) -> Clock {
        let mut all = self.clock.clone();
        if let Some(own) = self.threads.get(&by.thread.into()) {
            all.join(&own.clock);
        }
        all.set(block, self.time);
        all
    }

    /// What a thread knew at its last fence, or all at one before a barrier.
    pub(super) fn fenced(&self, by: By) -> Clock {
        let mut fenced = self.fenced.clone();
        if let Some(own) = self.threads.get(&by.thread.into()) {
            fenced.join(&own.fenced);
        }
        fenced
    }

    /// A thread has read what somebody released.
    pub(super) fn observe(&mut self, by: By, told: &Clock, order: Order) {
        let own = self.threads.entry(by.thread.into()).or_default();
        own.observed.join(told);
        if order.acquires() {
            own.clock.join(told);
        }
    }

    /// A thread of block `block` fences: it knows what it read of, and will tell it.
    pub(crate) fn fence(&mut self, by: By, block: u32) {
        let own = self.threads.entry(by.thread.into()).or_default();
        own.clock.join(&own.observed);
        let knowledge = self.knowledge(by, block);
        self.threads.entry(by.thread.into()).or_default().fenced = knowledge;
    }
}
