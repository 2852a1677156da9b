//! What blocks of a launch see of one another, where they talk: weak stores wait in their block.
//!
//! Modelled after the PTX memory model, strictly:
//! - A weak store is seen by its own block at once. It becomes visible outside when a thread that
//!   knows of it releases: one with a fence or a release of the device or the system, after having
//!   stored itself, or having met the storing thread at a barrier of the whole block or of the
//!   warp. Memory of the host needs the scope of the system. The rest follows when the block ends,
//!   the newest first.
//! - A weak load of what another block published gives the value from before, until its thread
//!   has acquired it: by an acquire, or a fence behind a strong read, that met the release, or by a
//!   barrier with a thread that has. Clocks (`clock.rs`) tell who knows of what.
//! - A fence of every thread, a barrier, and a relaxed atomic of one thread count as a release of
//!   them all, as does the way back: that is what CUDA's `__threadFenceReduction` relies on.
//! - Strong stores and atomics are visible at once and publish nothing that they do not release.
//!
//! Not modelled: loads that pass other loads; stores of single bytes, which are visible at once;
//! scopes narrower than the device, which order nothing here; barriers of a part of the block; a
//! weak load by the block that stored, which needs no barrier; who of a block published: any of its
//! threads may release that.

mod clock;
mod hash;
mod pending;

pub(crate) use pending::{Buffer, By};

use clock::Clock;
use hash::Map;

use crate::isa::{Order, Scope};
use crate::line::{CELL, LINE, Seen};
use crate::memory::View;
use crate::race::Writer;

/// Lines share a note, by these bits of their addresses, that there is something to look up.
const PAGE_BITS: u32 = 12;

/// What the blocks of a launch have published.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// By line.
    shown: Map<Shown>,
    /// What whoever reads at an address strongly may come to know.
    released: Map<Clock>,
    pages: Map<()>,
    /// Two blocks that did not know of each other wrote to one place: where, and the one to tell.
    pub(crate) race: Option<(u64, Writer)>,
}

/// A line of memory as it was before it was published.
#[derive(Clone, Copy, Debug)]
struct Shown {
    bytes: [u8; LINE as usize],
    /// Which cells held something, a bit each.
    written: u8,
    /// Which cells were published, a bit each, by whom and when.
    cells: u8,
    by: [(u32, u32); (LINE / CELL) as usize],
}

/// The bits of the cells of `bytes` at `address`.
pub(crate) fn cells(address: u64, bytes: u32) -> u8 {
    let first = address % LINE / CELL;
    let count = u64::from(bytes).div_ceil(CELL);
    ((1_u32 << count) - 1).wrapping_shl(first as u32) as u8
}

/// The line that holds an address.
pub(crate) fn line(address: u64) -> u64 {
    address & !(LINE - 1)
}

fn page(address: u64) -> u64 {
    address >> PAGE_BITS
}

/// The cells of a mask, ascending.
fn each(mask: u8) -> impl Iterator<Item = u64> {
    (0..LINE / CELL).filter(move |cell| mask >> cell & 1 != 0)
}

impl Told {
    /// Whether there may be more to know of an address than memory tells.
    #[inline]
    pub(crate) fn knows(&self, address: u64) -> bool {
        self.pages.contains_key(&page(address))
    }

    /// The line at `address` as thread `by` of the block with this buffer sees it. Strong loads
    /// see what is there.
    pub(crate) fn see(
        &self,
        view: &View,
        address: u64,
        (block, buffer, by): (u32, &Buffer, By),
        order: Order,
    ) -> Seen {
        let address = line(address);
        let mut seen = view.line(address);
        if order.is_weak()
            && let Some(shown) = self.shown.get(&address)
        {
            let is_news = |&cell: &u64| {
                let (writer, time) = shown.by[cell as usize];
                writer != block && buffer.knows_until(by, writer) < time
            };
            for cell in each(shown.cells).filter(is_news) {
                seen.take(cell, &shown.bytes, shown.written);
            }
        }
        buffer.overlay(address, &mut seen);
        seen
    }

    /// What a strong read at `address` lets a thread know.
    pub(crate) fn read(&self, buffer: &mut Buffer, address: u64, by: By, order: Order) {
        if let Some(clock) = self.released.get(&address) {
            buffer.observe(by, clock, order);
        }
    }

    /// What a strong write at `address` tells; an atomic also passes on what others told there.
    /// What the thread releases is published before.
    pub(crate) fn write(
        &mut self,
        buffer: &Buffer,
        (block, address): (u32, u64),
        by: By,
        order: Order,
        is_atomic: bool,
    ) {
        let told = if order.releases() { buffer.knowledge(by, block) } else { buffer.fenced(by) };
        let before = self.released.entry(address).or_default();
        if !is_atomic {
            *before = Clock::default();
        }
        before.join(&told);
    }

    /// Whatever was there is history: `cells` of the line at `address` are seen by all.
    pub(crate) fn settle(&mut self, address: u64, cells: u8) {
        if let Some(shown) = self.shown.get_mut(&line(address)) {
            shown.cells &= !cells;
        }
    }

    /// Publishes what the lanes of `warp` in `run` know of, as far as `scope` reaches.
    pub(crate) fn release(
        &mut self,
        view: &View,
        (block, buffer): (u32, &mut Buffer),
        (warp, run, syncs): (u32, u32, u32),
        scope: Scope,
    ) {
        if scope == Scope::Block {
            return;
        }
        let epoch = buffer.epoch();
        let is_known = |by: By| {
            let is_own = by.thread / 32 == warp;
            by.epoch < epoch || (is_own && (run >> (by.thread % 32) & 1 != 0 || by.syncs < syncs))
        };
        let reaches = |address: u64| scope == Scope::System || !view.is_of_host(address);
        let time = buffer.tick();
        for (address, line) in buffer.take(|address, by| reaches(address) && is_known(by)) {
            self.publish(view, address, &line, (block, time, buffer), &|| ());
        }
    }

    /// Publishes all that a block has left, one cell after the other.
    pub(crate) fn end(
        &mut self,
        view: &View,
        (block, buffer): (u32, &mut Buffer),
        look: &dyn Fn(),
    ) {
        let time = buffer.tick();
        for (address, line) in buffer.take_newest_first() {
            self.publish(view, address, &line, (block, time, buffer), look);
        }
    }

    /// Puts cells of a line into memory.
    fn publish(
        &mut self,
        view: &View,
        address: u64,
        line: &pending::Line,
        (block, time, buffer): (u32, u32, &Buffer),
        look: &dyn Fn(),
    ) {
        let seen = view.line(address);
        let shown = self.shown.entry(address).or_insert(Shown {
            bytes: seen.bytes,
            written: seen.written,
            cells: 0,
            by: [(0, 0); 8],
        });
        for cell in each(line.cells) {
            let by = line.by[cell as usize];
            let (before, when) = shown.by[cell as usize];
            let is_news = before != block && buffer.knows_until(by, before) < when;
            if shown.cells >> cell & 1 != 0 && is_news {
                self.race.get_or_insert((address + cell * CELL, Writer { block, line: by.line }));
            }
            let at = (cell * CELL) as usize;
            shown.bytes[at..at + 2].copy_from_slice(&seen.bytes[at..at + 2]);
            shown.written = shown.written & !(1 << cell) | seen.written & 1 << cell;
            shown.cells |= 1 << cell;
            shown.by[cell as usize] = (block, time);
            view.put(address + cell * CELL, [line.bytes[at], line.bytes[at + 1]]);
            look();
        }
    }

    /// Notes that there is something to know of an address.
    pub(crate) fn note(&mut self, address: u64) {
        self.pages.insert(page(address), ());
    }
}
