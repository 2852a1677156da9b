//! Which block wrote what: two blocks of a launch must not write the same bytes of global memory.
//!
//! Only launches without atomics or ordered accesses are watched here; in others blocks may take
//! turns with the same bytes, and `talk` looks for those that know nothing of each other. Stores
//! of single bytes go unseen, and so does who reads what another block writes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cells of a page; a cell is two bytes.
const PAGE: u64 = 2048;

/// The writers of a block of memory.
#[derive(Debug)]
pub(crate) struct Writers {
    pages: Vec<OnceLock<Box<[AtomicU64]>>>,
}

/// A store: the block of the grid that made it, and its line of PTX. The first in this order of
/// those that race is named, whatever the order on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    pub(crate) block: u32,
    pub(crate) line: u32,
}

impl Writer {
    /// Never 0; the first writer has the greatest.
    fn bits(self) -> u64 {
        !(u64::from(self.block) << 32 | u64::from(self.line))
    }

    fn of(bits: u64) -> Self {
        Self { block: (!bits >> 32) as u32, line: !bits as u32 }
    }
}

impl Writers {
    pub(crate) fn new(bytes: u64) -> Self {
        let pages = bytes.div_ceil(2 * PAGE) as usize;
        Self { pages: std::iter::repeat_with(OnceLock::new).take(pages).collect() }
    }

    fn cell(&self, offset: u64) -> &AtomicU64 {
        let page = self.pages[(offset / 2 / PAGE) as usize].get_or_init(|| {
            std::iter::repeat_with(AtomicU64::default).take(PAGE as usize).collect()
        });
        &page[(offset / 2 % PAGE) as usize]
    }

    /// Notes a store of `bytes`; true if another block has written some of them.
    pub(crate) fn note(&self, offset: u64, bytes: u32, writer: Writer) -> bool {
        (offset..offset + u64::from(bytes / 2 * 2)).step_by(2).fold(false, |races, at| {
            let before = self.cell(at).fetch_max(writer.bits(), Ordering::Relaxed);
            races | (before != 0 && Writer::of(before).block != writer.block)
        })
    }

    /// The first writer of these two bytes.
    pub(crate) fn first(&self, offset: u64) -> Writer {
        Writer::of(self.cell(offset).load(Ordering::Relaxed))
    }
}
