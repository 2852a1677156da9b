//! Global memory: blocks with guards, and what has been written to them.
//!
//! Addresses are real addresses of this process, so the host may look at mapped memory while a
//! kernel runs. Every access is a relaxed atomic.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use crate::isa::Order;
use crate::line::Seen;
use crate::race::{Writer, Writers};

/// Alignment of a block, and the bytes on each side of it that belong to nobody.
const GUARD: usize = 256;
/// Bytes that count together as written by kernels.
const SECTOR: u64 = 32;

/// What a new block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Nothing yet, as device memory: reads before writes are faults.
    Undefined,
    /// Zeros, as memory of the host.
    Defined,
}

/// An access by the host that no block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {bytes} bytes at {address:#x} within one block, found {found}")]
pub struct AccessError {
    /// The first byte.
    pub address: u64,
    /// How many were wanted.
    pub bytes: u64,
    /// How many of them the block at the address holds; 0 where there is none.
    pub found: u64,
}

/// Blocks of memory that host and kernels share.
#[derive(Debug, Default)]
pub struct Memory {
    /// By address. A launch holds the list it started with.
    blocks: RwLock<Arc<Vec<Arc<Block>>>>,
}

impl Memory {
    /// No blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `bytes` aside and gives their address, a multiple of 256; `None` where there is no
    /// room.
    pub fn alloc(&self, bytes: u64, what: Contents) -> Option<u64> {
        let block = Arc::new(Block::new(bytes, what)?);
        let base = block.base;
        self.change(|blocks| {
            let at = blocks.partition_point(|other| other.base < base);
            blocks.insert(at, block);
        });
        Some(base)
    }

    /// Gives the block that starts at `address` back; false where there is none.
    pub fn free(&self, address: u64) -> bool {
        let mut found = false;
        self.change(|blocks| {
            let before = blocks.len();
            blocks.retain(|block| block.base != address);
            found = blocks.len() < before;
        });
        found
    }

    /// Writes `bytes`, which are defined from then on.
    ///
    /// # Errors
    /// [`AccessError`] where they do not lie in one block.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), AccessError> {
        let (block, offset) = self.locate(address, bytes.len() as u64)?;
        block.write(offset, bytes.iter().copied());
        Ok(())
    }

    /// Writes `len` times `byte`.
    ///
    /// # Errors
    /// [`AccessError`] where they do not lie in one block.
    pub fn fill(&self, address: u64, byte: u8, len: u64) -> Result<(), AccessError> {
        let (block, offset) = self.locate(address, len)?;
        block.write(offset, std::iter::repeat_n(byte, len as usize));
        Ok(())
    }

    /// Reads into `bytes`; what nothing was written to reads as zero.
    ///
    /// # Errors
    /// [`AccessError`] where they do not lie in one block.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), AccessError> {
        let (block, offset) = self.locate(address, bytes.len() as u64)?;
        fence(Ordering::Acquire);
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = block.load(offset + i as u64, 1) as u8;
        }
        Ok(())
    }

    /// Base and length of the block that holds `address`.
    pub fn block(&self, address: u64) -> Option<(u64, u64)> {
        let blocks = self.blocks();
        find(&blocks, address).map(|at| (blocks[at].base, blocks[at].len))
    }

    /// Bytes allocated now.
    pub fn bytes(&self) -> u64 {
        self.blocks().iter().map(|block| block.len).sum()
    }

    /// What a launch sees: the blocks of now, and `more`. `watched`: it notes who writes what.
    pub(crate) fn view(&self, more: &[Arc<Block>], watched: bool) -> View {
        let mut blocks = Vec::clone(&self.blocks());
        blocks.extend(more.iter().cloned());
        blocks.sort_by_key(|block| block.base);
        let watched = blocks.iter().filter(|_| watched);
        let writers = watched.map(|block| Writers::new(block.len)).collect();
        View { blocks, writers, race: AtomicU64::new(u64::MAX) }
    }

    fn blocks(&self) -> Arc<Vec<Arc<Block>>> {
        Arc::clone(&self.blocks.read())
    }

    fn change(&self, f: impl FnOnce(&mut Vec<Arc<Block>>)) {
        let mut blocks = self.blocks.write();
        f(Arc::make_mut(&mut blocks));
    }

    fn locate(&self, address: u64, bytes: u64) -> Result<(Arc<Block>, u64), AccessError> {
        let blocks = self.blocks();
        let Some(at) = find(&blocks, address) else {
            return Err(AccessError { address, bytes, found: 0 });
        };
        let (block, offset) = (&blocks[at], address - blocks[at].base);
        match block.len - offset {
            found if found < bytes => Err(AccessError { address, bytes, found }),
            _ => Ok((Arc::clone(block), offset)),
        }
    }
}

/// Index of the block that holds `address`.
fn find(blocks: &[Arc<Block>], address: u64) -> Option<usize> {
    let at = blocks.partition_point(|block| block.base <= address).checked_sub(1)?;
    (address - blocks[at].base < blocks[at].len).then_some(at)
}

/// The blocks a launch may touch.
#[derive(Debug)]
pub(crate) struct View {
    blocks: Vec<Arc<Block>>,
    /// Of each block; none where nobody watches.
    writers: Vec<Writers>,
    /// The lowest address that two blocks of the grid wrote to.
    race: AtomicU64,
}

impl View {
    /// The block that holds `address`; `hint` is where the last one was.
    #[inline]
    pub(crate) fn block(&self, address: u64, hint: &mut usize) -> Option<&Block> {
        if let Some(block) = self.blocks.get(*hint)
            && address.wrapping_sub(block.base) < block.len
        {
            return Some(block);
        }
        *hint = find(&self.blocks, address)?;
        self.blocks.get(*hint).map(|block| &**block)
    }

    /// The 16 bytes at an address that is a multiple of 16; zeros where there is no memory.
    pub(crate) fn line(&self, address: u64) -> Seen {
        let block = self.block(address, &mut { usize::MAX });
        block.map_or(Seen { bytes: [0; 16], written: 0 }, |block| block.line(address - block.base))
    }

    /// Writes two bytes of a block.
    pub(crate) fn put(&self, address: u64, bytes: [u8; 2]) {
        if let Some(block) = self.block(address, &mut { usize::MAX }) {
            block.store(address - block.base, 2, u16::from_le_bytes(bytes).into());
        }
    }

    /// Whether the host sees what is at an address.
    pub(crate) fn is_of_host(&self, address: u64) -> bool {
        let block = self.block(address, &mut { usize::MAX });
        block.is_some_and(|block| block.written.is_none())
    }

    /// Notes a store to the block at index `hint`.
    #[inline]
    pub(crate) fn note_write(&self, hint: usize, address: u64, bytes: u32, writer: Writer) {
        let Some(writers) = self.writers.get(hint) else { return };
        if writers.note(address - self.blocks[hint].base, bytes, writer) {
            self.race.fetch_min(address, Ordering::Relaxed);
        }
    }

    /// The lowest address that two blocks of the grid wrote to, and the first of them.
    pub(crate) fn race(&self) -> Option<(u64, Writer)> {
        let address = self.race.load(Ordering::Relaxed);
        let at = find(&self.blocks, address)?;
        let writers = self.writers.get(at)?;
        Some((address, writers.first(address - self.blocks[at].base)))
    }

    /// The blocks next to an address that none holds, in words.
    pub(crate) fn nearest(&self, address: u64) -> String {
        let at = self.blocks.partition_point(|block| block.base <= address);
        match at.checked_sub(1).map(|at| &self.blocks[at]) {
            Some(block) if address - block.base < block.len.saturating_add(1 << 20) => {
                let past = address - block.base;
                format!("byte {past} of a block of {} bytes", block.len)
            }
            _ => "no block near".into(),
        }
    }
}

/// A piece of memory.
#[derive(Debug)]
pub(crate) struct Block {
    base: u64,
    len: u64,
    start: NonNull<u8>,
    layout: Layout,
    /// A bit for each byte written; `None` where all are defined.
    written: Option<Box<[AtomicU64]>>,
    /// A bit for each sector that a kernel has ever written to; none where no kernel has.
    of_kernels: OnceLock<Box<[AtomicU64]>>,
}

// SAFETY: the memory is owned by the block and only touched by atomics.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

impl Block {
    pub(crate) fn new(len: u64, what: Contents) -> Option<Self> {
        let room = usize::try_from(len).ok()?.max(1).checked_next_multiple_of(GUARD)?;
        let layout = Layout::from_size_align(room.checked_add(2 * GUARD)?, GUARD).ok()?;
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let base = (start.as_ptr() as usize + GUARD) as u64;
        let written = (what == Contents::Undefined)
            .then(|| std::iter::repeat_with(AtomicU64::default).take(room.div_ceil(64)).collect());
        let of_kernels = OnceLock::new();
        Some(Self { base, len, start, layout, written, of_kernels })
    }

    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Whether `bytes` at `address` lie in here.
    #[inline]
    pub(crate) fn holds(&self, address: u64, bytes: u64) -> bool {
        let offset = address.wrapping_sub(self.base);
        offset < self.len && bytes <= self.len - offset
    }

    /// Where an offset lies; panics outside.
    #[inline]
    fn at(&self, offset: u64, bytes: u32) -> *mut u8 {
        assert!(
            offset < self.len && u64::from(bytes) <= self.len - offset,
            "invariant: accesses are checked"
        );
        debug_assert!(offset.is_multiple_of(bytes.into()), "invariant: accesses are aligned");
        // SAFETY: the block has `GUARD` bytes in front, then `len`.
        unsafe { self.start.as_ptr().add(GUARD + offset as usize) }
    }

    /// `bytes` (1, 2, 4 or 8) at an aligned offset.
    #[inline]
    pub(crate) fn load(&self, offset: u64, bytes: u32) -> u64 {
        let at = self.at(offset & !(u64::from(bytes) - 1), bytes);
        // SAFETY: in bounds and aligned by `at`; alive as long as `self`; only atomics touch it.
        unsafe {
            match bytes {
                1 => AtomicU8::from_ptr(at).load(Ordering::Relaxed).into(),
                2 => AtomicU16::from_ptr(at.cast()).load(Ordering::Relaxed).into(),
                4 => AtomicU32::from_ptr(at.cast()).load(Ordering::Relaxed).into(),
                _ => AtomicU64::from_ptr(at.cast()).load(Ordering::Relaxed),
            }
        }
    }

    /// The bytes from a multiple of 16 on, as far as there are any.
    fn line(&self, offset: u64) -> Seen {
        let mut seen = Seen { bytes: [0; 16], written: 0 };
        let len = (self.len - offset).min(16);
        for at in 0..len {
            seen.bytes[at as usize] = self.load(offset + at, 1) as u8;
        }
        for at in (0..len).step_by(2) {
            let is_written = self.is_written(offset + at, (len - at).min(2) as u32);
            seen.written |= u8::from(is_written) << (at / 2);
        }
        seen
    }

    /// Writes the low `bytes` of `value` at an aligned offset, and marks them.
    #[inline]
    pub(crate) fn store(&self, offset: u64, bytes: u32, value: u64) {
        let at = self.at(offset & !(u64::from(bytes) - 1), bytes);
        // SAFETY: as in `load`.
        unsafe {
            match bytes {
                1 => AtomicU8::from_ptr(at).store(value as u8, Ordering::Relaxed),
                2 => AtomicU16::from_ptr(at.cast()).store(value as u16, Ordering::Relaxed),
                4 => AtomicU32::from_ptr(at.cast()).store(value as u32, Ordering::Relaxed),
                _ => AtomicU64::from_ptr(at.cast()).store(value, Ordering::Relaxed),
            }
        }
        self.mark(offset, bytes);
    }

    /// Changes 4 or 8 bytes at once and gives what was there.
    pub(crate) fn update(&self, offset: u64, bytes: u32, mut f: impl FnMut(u64) -> u64) -> u64 {
        let order = (Ordering::AcqRel, Ordering::Acquire);
        let at = self.at(offset & !(u64::from(bytes) - 1), bytes);
        // SAFETY: as in `load`.
        let old = unsafe {
            if bytes == 4 {
                let cell = AtomicU32::from_ptr(at.cast());
                let old = cell.fetch_update(order.0, order.1, |old| Some(f(old.into()) as u32));
                old.unwrap_or_else(|old| old).into()
            } else {
                let cell = AtomicU64::from_ptr(at.cast());
                cell.fetch_update(order.0, order.1, |old| Some(f(old))).unwrap_or_else(|old| old)
            }
        };
        self.mark(offset, bytes);
        old
    }

    /// Whether `bytes` (at most 16, aligned) have been written to.
    #[inline]
    pub(crate) fn is_written(&self, offset: u64, bytes: u32) -> bool {
        let Some(written) = &self.written else { return true };
        let bits = (u64::MAX >> (64 - bytes)) << (offset % 64);
        written[offset as usize / 64].load(Ordering::Relaxed) & bits == bits
    }

    /// Whether a kernel has ever written to a sector of these bytes.
    pub(crate) fn is_of_kernels(&self, offset: u64, bytes: u32) -> bool {
        let Some(sectors) = self.of_kernels.get() else { return false };
        let (first, last) = (offset / SECTOR, (offset + u64::from(bytes) - 1) / SECTOR);
        (first..=last).any(|sector| {
            sectors[sector as usize / 64].load(Ordering::Relaxed) >> (sector % 64) & 1 != 0
        })
    }

    /// Notes what a kernel writes; its bytes lie in one sector.
    #[inline]
    fn mark_sector(&self, offset: u64) {
        let sectors = self.of_kernels.get_or_init(|| {
            let words = self.len.div_ceil(64 * SECTOR) as usize;
            std::iter::repeat_with(AtomicU64::default).take(words).collect()
        });
        let sector = offset / SECTOR;
        let word = &sectors[sector as usize / 64];
        if word.load(Ordering::Relaxed) >> (sector % 64) & 1 == 0 {
            word.fetch_or(1 << (sector % 64), Ordering::Relaxed);
        }
    }

    #[inline]
    fn mark(&self, offset: u64, bytes: u32) {
        self.mark_sector(offset);
        let Some(written) = &self.written else { return };
        let bits = (u64::MAX >> (64 - bytes)) << (offset % 64);
        let word = &written[offset as usize / 64];
        if word.load(Ordering::Relaxed) & bits != bits {
            word.fetch_or(bits, Ordering::Relaxed);
        }
    }

    /// What the host writes; the caller has checked the bounds.
    fn write(&self, offset: u64, bytes: impl ExactSizeIterator<Item = u8>) {
        let len = bytes.len() as u64;
        assert!(
            offset <= self.len && len <= self.len - offset,
            "invariant: the caller has checked the bounds"
        );
        for (i, byte) in bytes.enumerate() {
            // SAFETY: in bounds as just checked; only atomics touch the memory.
            let cell =
                unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(GUARD + offset as usize + i)) };
            cell.store(byte, Ordering::Relaxed);
        }
        let Some(written) = &self.written else { return };
        let (mut at, end) = (offset, offset + len);
        while at < end {
            let count = (64 - at % 64).min(end - at);
            let bits = (u64::MAX >> (64 - count)) << (at % 64);
            written[at as usize / 64].fetch_or(bits, Ordering::Relaxed);
            at += count;
        }
    }
}

/// Orders accesses around one that others wait for.
pub(crate) fn order(order: Order) {
    match order {
        Order::Weak | Order::Constant | Order::Relaxed => {}
        Order::Acquire => fence(Ordering::Acquire),
        Order::Release => fence(Ordering::Release),
        Order::AcquireRelease => fence(Ordering::AcqRel),
    }
}

/// `membar` and `fence`.
pub(crate) fn full_fence() {
    fence(Ordering::SeqCst);
}
