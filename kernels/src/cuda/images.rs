//! Images on their way to the device.
//!
//! ```text
//! host     part 0 │ part 1 │ ..    while other rows run, or when the images are admitted
//! uploads           part 0 │ part 1 │ .. ─► event
//! stream   other rows ...................─► waits for the event, the images
//! ```
//!
//! Two blocks take turns, each once in page-locked memory and once on the device: rows read one
//! while the next images go into the other. A part is on its way while the host copies the next
//! one.

use std::ops::Range;

use super::driver::Address;
use super::event::Event;
use super::memory::{DeviceMemory, MappedMemory};
use super::stream::Stream;
use crate::{ArenaLayout, Error, Result};

/// Bytes that are copied and then sent at a time: some 50 us of either.
const PART: usize = 512 << 10;

/// Room for the images of two admissions, and the stream that fills it.
pub(super) struct Images {
    uploads: Stream,
    /// All images have arrived.
    arrived: Event,
    blocks: [Block; 2],
    /// Bytes of an image.
    row_pixels: usize,
    /// The block of the images that were admitted last.
    current: usize,
    /// Bytes of the next images that lie in the other block.
    staged: usize,
}

struct Block {
    host: MappedMemory<u8>,
    device: DeviceMemory,
    /// Number of the admission that reads it, or did last.
    number: u64,
}

impl Images {
    /// Room for images within `layout`.
    pub(super) fn new(stream: &Stream, layout: &ArenaLayout) -> Result<Self> {
        let bytes = layout.rows_max.saturating_mul(layout.row_pixels);
        let block = || {
            let host = MappedMemory::new(stream, "images", bytes)?;
            Ok(Block { host, device: DeviceMemory::new(stream, "images", bytes)?, number: 0 })
        };
        Ok(Self {
            uploads: Stream::new(stream.context())?,
            arrived: Event::untimed(stream.context())?,
            blocks: [block()?, block()?],
            row_pixels: layout.row_pixels,
            current: 0,
            staged: 0,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.host.bytes() + block.device.bytes()).sum()
    }

    /// Where the device finds the images that were admitted last.
    pub(super) fn address(&self) -> Address {
        self.blocks[self.current].device.address()
    }

    /// Whether nobody reads the other block any more, where admissions up to number `heard` have
    /// been heard of.
    pub(super) fn has_room(&self, heard: u64) -> bool {
        self.blocks[1 - self.current].number <= heard
    }

    /// Sends one part of the next `images`, from byte `from` on; 0 begins anew. Gives how many
    /// bytes of them have been sent: no more than before where there is no room (`heard` as in
    /// [`Self::has_room`]).
    pub(super) fn stage(&mut self, images: &[u8], from: usize, heard: u64) -> Result<usize> {
        Error::check_fits("images", images.len(), self.blocks[0].host.bytes())?;
        if from == 0 {
            self.forget()?;
        }
        if from != self.staged || from > images.len() {
            return Err(Error::mismatch("first byte of a part", self.staged, from));
        }
        if !self.has_room(heard) {
            return Ok(from);
        }
        let end = images.len().min(from + PART);
        // SAFETY: nobody reads the other block; the parts that are on their way lie before `from`.
        unsafe { self.send(1 - self.current, images, from..end) }?;
        self.staged = end;
        Ok(end)
    }

    /// What was staged, `rows` images, is admitted under this number: lets `stream` wait for it.
    pub(super) fn begin_staged(&mut self, stream: &Stream, rows: usize, number: u64) -> Result<()> {
        let bytes = rows * self.row_pixels;
        if self.staged != bytes {
            return Err(Error::mismatch("bytes of staged images", bytes, self.staged));
        }
        self.staged = 0;
        self.take_turn(stream, number)
    }

    /// `images`, which fit, are admitted under this number, while nobody reads the other block:
    /// sends them, and lets `stream` wait for them. What was staged is forgotten.
    pub(super) fn begin(&mut self, stream: &Stream, images: &[u8], number: u64) -> Result<()> {
        self.forget()?;
        for from in (0..images.len()).step_by(PART) {
            let end = images.len().min(from + PART);
            // SAFETY: nobody reads the other block; parts do not overlap.
            unsafe { self.send(1 - self.current, images, from..end) }?;
        }
        self.take_turn(stream, number)
    }

    /// Waits for what is on its way to the other block, if anything is.
    pub(super) fn forget(&mut self) -> Result<()> {
        if self.staged > 0 {
            self.uploads.finish()?;
            self.staged = 0;
        }
        Ok(())
    }

    fn take_turn(&mut self, stream: &Stream, number: u64) -> Result<()> {
        self.current = 1 - self.current;
        self.blocks[self.current].number = number;
        self.uploads.mark(&self.arrived)?;
        stream.wait_for(&self.arrived)
    }

    /// Copies a part to page-locked memory, from where it goes to the device.
    ///
    /// # Safety
    /// Nothing on the device reads or writes these bytes of the block, in either memory.
    unsafe fn send(&mut self, to: usize, images: &[u8], part: Range<usize>) -> Result<()> {
        let Block { host, device, .. } = &mut self.blocks[to];
        let at = device.address() + part.start as u64;
        // SAFETY: by this function's contract.
        unsafe { host.part_mut(part.start, part.len()) }.copy_from_slice(&images[part.clone()]);
        // SAFETY: the bytes stay until the block's next turn; both memories are as long.
        unsafe { self.uploads.upload_later(at, host.slice(part.start, part.len())) }
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        // Memory goes only when no copy uses it any more.
        let _ = self.uploads.finish();
    }
}
