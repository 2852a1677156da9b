//! The rows of a pass, as the kernels know them.
//!
//! ```text
//! block, sent once a pass:  settings | live | thresholds | offsets | slots | states | tokens
//! tables 1 and 2, in turn:  live | offsets | slots | origin | local
//! ```
//!
//! Images go by themselves (the `images` module). The rows of an image pass all have the same
//! number of vectors at an op, so there one entry of a map stands for a whole row: to the tables
//! every image is a row of one token.
//!
//! Ops that drop rows or tokens read one table and write the next, so nothing is overwritten
//! while it is read. `origin` leads from a live token to its place when the pass began, `local`
//! to its place in values that were packed later. The host knows which table an op will find,
//! never what is in it.

use bytemuck::{Pod, Zeroable};

use super::driver::Address;
use super::images::Images;
use super::memory::{DeviceMemory, MappedMemory};
use super::stream::Stream;
use crate::{ArenaLayout, Error, ExitWindow, PassInput, Result, RowInput, RowTokens, Score, Token};

/// `Pass` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Settings {
    number: u32,
    score: u32,
    patience: u32,
    reserved: u32,
}

/// `Live` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct Live {
    rows: u32,
    pub(crate) tokens: u32,
}

/// `RowState` in common.cuh.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowState {
    answered: u32,
    stays: u32,
    window: ExitWindow,
    label: u32,
    streak: u32,
}

/// Where the rows alive are described.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    /// One [`Live`].
    pub(crate) live: Address,
    /// `rows + 1` token indices.
    pub(crate) offsets: Address,
    /// `rows` slots.
    pub(crate) slots: Address,
    /// By live token or image; 0 where it is the identity.
    pub(crate) origin: Address,
    /// By live token or image; 0 where it is the identity.
    pub(crate) local: Address,
}

/// Byte offsets of the parts of the block.
#[derive(Clone, Copy, Default)]
struct Places {
    live: usize,
    thresholds: usize,
    offsets: usize,
    slots: usize,
    states: usize,
    tokens: usize,
    end: usize,
}

impl Places {
    fn new(layout: &ArenaLayout) -> Self {
        let mut end = size_of::<Settings>();
        let mut take = |count: usize, bytes: usize| {
            let at = end;
            end = at.saturating_add(count.saturating_mul(bytes)).saturating_add(15) & !15;
            at
        };
        let rows = layout.rows_max;
        Self {
            live: take(1, size_of::<Live>()),
            thresholds: take(layout.exits, 4),
            offsets: take(rows.saturating_add(1), 4),
            slots: take(rows, 4),
            states: take(rows, size_of::<RowState>()),
            tokens: take(layout.tokens_max, size_of::<Token>()),
            end,
        }
    }
}

/// The row state of a pass, on both sides.
pub(crate) struct Rows {
    places: Places,
    staging: MappedMemory<u8>,
    block: DeviceMemory,
    /// In a layout for images.
    images: Option<Images>,
    tables_memory: DeviceMemory,
    tables: [Table; 3],
    current: usize,
    number: u32,
    rows: usize,
    /// Tokens when the pass began; 0 for images.
    tokens: usize,
    longest: usize,
    are_images: bool,
}

impl Rows {
    pub(super) fn new(stream: &Stream, layout: &ArenaLayout) -> Result<Self> {
        let places = Places::new(layout);
        let block = DeviceMemory::new(stream, "rows", places.end)?;
        let rows = layout.rows_max.saturating_add(1);
        let tokens = layout.tokens_max.max(layout.rows_max);
        let words = rows.saturating_mul(2).saturating_add(tokens.saturating_mul(2));
        let stride = words.saturating_mul(4).saturating_add(3 * 16 + 15) & !15;
        let tables_memory = DeviceMemory::new(stream, "rows", stride.saturating_mul(2))?;
        let base = block.address();
        let first = Table {
            live: base + places.live as u64,
            offsets: base + places.offsets as u64,
            slots: base + places.slots as u64,
            origin: 0,
            local: 0,
        };
        let later = |index: usize| {
            let live = tables_memory.address() + (index * stride) as u64;
            let offsets = live + 16;
            let slots = offsets + 4 * rows as u64;
            let origin = slots + 4 * rows as u64;
            Table { live, offsets, slots, origin, local: origin + 4 * tokens as u64 }
        };
        let has_images = layout.row_pixels > 0;
        let images = has_images.then(|| Images::new(stream, layout)).transpose()?;
        Ok(Self {
            places,
            images,
            staging: MappedMemory::new(stream, "rows", places.end)?,
            tables: [first, later(0), later(1)],
            block,
            tables_memory,
            current: 0,
            number: 0,
            rows: 0,
            tokens: 0,
            longest: 0,
            are_images: false,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let images = self.images.as_ref().map_or(0, Images::bytes);
        self.staging.bytes() + self.block.bytes() + self.tables_memory.bytes() + images
    }

    /// Sends a part of the images of the next pass.
    pub(super) fn stage(&mut self, images: &[u8], from: usize) -> Result<usize> {
        self.images.as_mut().map_or(Ok(0), |own| own.stage(images, from))
    }

    /// Sends the rows of a checked pass to the device, which is idle.
    pub(super) fn begin(&mut self, stream: &Stream, pass: &PassInput<'_>) -> Result<()> {
        self.begin_images(stream, pass)?;
        self.number = self.number.wrapping_add(1).max(1);
        self.current = 0;
        self.rows = pass.rows();
        let (tokens, longest) = match pass.input {
            RowInput::Text { tokens, offsets } => (tokens, longest(offsets)),
            RowInput::Images(_) | RowInput::Staged => (&[][..], 0),
        };
        self.tokens = tokens.len();
        self.longest = longest;
        self.are_images = !matches!(pass.input, RowInput::Text { .. });
        let (number, places) = (self.number, self.places);
        // SAFETY: the device is idle: what was sent before has arrived.
        let staging = unsafe { self.staging.slice_mut() };
        fill(staging, &places, pass, number);
        put(staging, places.tokens, tokens);
        let used = places.tokens + size_of_val(tokens);
        // SAFETY: staging is written again only by the next `begin`, when the device is idle;
        // the block is as long.
        unsafe { stream.upload_later(self.block.address(), self.staging.slice(0, used)) }
    }

    fn begin_images(&mut self, stream: &Stream, pass: &PassInput<'_>) -> Result<()> {
        match (&mut self.images, pass.input) {
            (None, RowInput::Text { .. } | RowInput::Images(_)) => Ok(()),
            (Some(images), RowInput::Text { .. }) => images.forget(),
            (Some(images), RowInput::Images(pixels)) => images.begin(stream, pixels),
            (Some(images), RowInput::Staged) => images.begin_staged(stream, pass.rows()),
            (None, RowInput::Staged) => Err(Error::mismatch("rows", "texts", "staged images")),
        }
    }

    /// Forgets every row.
    pub(super) fn clear(&mut self) {
        (self.rows, self.tokens, self.longest, self.current) = (0, 0, 0, 0);
    }

    /// What describes the rows alive.
    pub(crate) fn table(&self) -> Table {
        self.tables[self.current]
    }

    /// The table that the next op to drop rows writes.
    pub(crate) fn next_table(&self) -> Table {
        self.tables[if self.current == 1 { 2 } else { 1 }]
    }

    /// Such an op has been enqueued.
    pub(crate) fn advance(&mut self) {
        self.current = if self.current == 1 { 2 } else { 1 };
    }

    /// Whether no such op has been enqueued in this pass.
    pub(crate) fn are_whole(&self) -> bool {
        self.current == 0
    }

    /// Number of the pass, never 0.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Rows when the pass began.
    pub(crate) fn count(&self) -> usize {
        self.rows
    }

    /// Tokens when the pass began.
    pub(crate) fn tokens(&self) -> &[Token] {
        let (at, len) = (self.places.tokens, self.tokens * size_of::<Token>());
        // SAFETY: the device only reads the staging block.
        bytemuck::cast_slice(unsafe { self.staging.slice(at, len) })
    }

    /// Tokens of the longest row when the pass began.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Tokens of the pass as the device has them.
    pub(crate) fn tokens_address(&self) -> Address {
        self.block.address() + self.places.tokens as u64
    }

    /// Pixels of the pass as the device has them.
    ///
    /// # Errors
    /// The pass has texts.
    pub(crate) fn pixels_address(&self) -> Result<Address> {
        let images = self.images.as_ref().filter(|_| self.are_images);
        images.map(Images::address).ok_or_else(|| Error::mismatch("rows", "images", "texts"))
    }

    /// Entries of a map at most.
    pub(super) fn entries_max(&self, layout: &ArenaLayout) -> usize {
        if self.are_images { layout.rows_max } else { layout.tokens_max }
    }

    /// Vectors that one entry of a map stands for, at an op whose rows have `tokens`. Texts of one
    /// token each pass for images.
    ///
    /// # Errors
    /// The op is for images and the pass has texts, or the other way round.
    pub(crate) fn vectors(&self, tokens: RowTokens) -> Result<usize> {
        match tokens {
            RowTokens::Own if self.are_images && self.rows > 0 => {
                Err(Error::mismatch("rows", "texts", "images"))
            }
            RowTokens::Each(_) if !self.are_images && self.tokens != self.rows => {
                Err(Error::mismatch("rows", "images", "texts"))
            }
            RowTokens::Own => Ok(1),
            RowTokens::Each(each) => Ok(each),
        }
    }

    /// Settings of the pass.
    pub(crate) fn settings_address(&self) -> Address {
        self.block.address()
    }

    /// Thresholds by exit.
    pub(crate) fn thresholds_address(&self) -> Address {
        self.block.address() + self.places.thresholds as u64
    }

    /// Row states by slot.
    pub(crate) fn states_address(&self) -> Address {
        self.block.address() + self.places.states as u64
    }
}

fn longest(offsets: &[u32]) -> usize {
    offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
}

fn fill(staging: &mut [u8], places: &Places, pass: &PassInput<'_>, number: u32) {
    let (score, patience) = match pass.score {
        Score::Confidence => (0, 0),
        Score::Entropy => (1, 0),
        Score::Margin => (2, 0),
        Score::Patience { k } => (3, k),
    };
    put(staging, 0, &[Settings { number, score, patience, reserved: 0 }]);
    let rows = pass.rows();
    let tokens = match pass.input {
        RowInput::Text { tokens, offsets } => {
            put(staging, places.offsets, offsets);
            tokens.len()
        }
        RowInput::Images(_) | RowInput::Staged => {
            (0..=rows).for_each(|row| put(staging, places.offsets + 4 * row, &[row as u32]));
            rows
        }
    };
    put(staging, places.live, &[Live { rows: rows as u32, tokens: tokens as u32 }]);
    put(staging, places.thresholds, pass.thresholds);
    for slot in 0..rows {
        put(staging, places.slots + 4 * slot, &[slot as u32]);
        let state = RowState {
            answered: 0,
            stays: pass.stays[slot].into(),
            window: pass.windows.get(slot).copied().unwrap_or(ExitWindow::ANY),
            label: 0,
            streak: 0,
        };
        put(staging, places.states + size_of::<RowState>() * slot, &[state]);
    }
}

fn put<T: Pod>(staging: &mut [u8], at: usize, values: &[T]) {
    let bytes = bytemuck::cast_slice::<T, u8>(values);
    staging[at..at + bytes.len()].copy_from_slice(bytes);
}
