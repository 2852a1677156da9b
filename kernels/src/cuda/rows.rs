//! The rows of the device, as the kernels know them.
//!
//! ```text
//! block:            states by slot | entry of group 0 | entry of group 1 ..
//! entry:            settings | live | thresholds | offsets | slots | origin | tokens
//! tables 1 and 2 of each group, in turn:  live | offsets | slots | origin | local
//! ```
//!
//! An entry (the `entry` module) is what a group comes with: the first table of its rows, and what
//! they are made of. It is sent once, together with the states of its rows; where nobody else is
//! there, in one copy.
//!
//! Images go by themselves (the `images` module). The rows of an image group all have the same
//! number of vectors at an op, so there one entry of a map stands for a whole row: to the tables
//! every image is a row of one token.
//!
//! Ops that drop rows or tokens read one table and write the next, so nothing is overwritten
//! while it is read. `origin` leads from a live token to its place, `local` to where it lay in
//! values that were written before tokens were dropped. The host knows which table an op will find,
//! never what is in it.

use super::driver::Address;
use super::entry::{Places, RowState, fill, put};
use super::images::Images;
use super::memory::{DeviceMemory, MappedMemory};
use super::stream::Stream;
use super::table::{Table, Tables};
use crate::slots::Slots;
use crate::{Admission, ArenaLayout, Error, GroupId, Result, Room, RowInput, RowTokens, Token};

/// What the host knows of a group.
struct Group {
    tables: Tables,
    /// Rows and tokens when it was admitted or gathered; 0 tokens for images.
    rows: usize,
    tokens: usize,
    longest: usize,
    are_images: bool,
    /// Whether what its rows are made of can be read.
    has_input: bool,
    /// Number of the last admission that its entry held.
    sent: u64,
}

/// The rows on both sides.
pub(crate) struct Rows {
    pub(crate) slots: Slots,
    places: Places,
    staging: MappedMemory<u8>,
    block: DeviceMemory,
    tables_memory: DeviceMemory,
    /// In a layout for images.
    images: Option<Images>,
    groups: Vec<Group>,
    /// By slot: number of the admission that its state was last sent for.
    sent: Vec<u64>,
    /// Number of the last admission.
    number: u64,
}

impl Rows {
    pub(super) fn new(stream: &Stream, layout: &ArenaLayout) -> Result<Self> {
        let places = Places::new(layout);
        let count = layout.groups_max.max(1);
        let bytes = places.entries.saturating_add(count.saturating_mul(places.entry_bytes));
        let block = DeviceMemory::new(stream, "rows", bytes)?;
        let table_bytes = Tables::bytes(layout);
        let tables_memory = DeviceMemory::new(stream, "rows", table_bytes.saturating_mul(count))?;
        let group = |index: usize| {
            let entry = block.address() + places.entry(GroupId(index as u32)) as u64;
            let first = Table {
                live: entry + places.live as u64,
                offsets: entry + places.offsets as u64,
                slots: entry + places.slots as u64,
                origin: 0,
                local: 0,
            };
            let later = tables_memory.address() + (index * table_bytes) as u64;
            Group {
                tables: Tables::new(first, later, layout),
                rows: 0,
                tokens: 0,
                longest: 0,
                are_images: false,
                has_input: false,
                sent: 0,
            }
        };
        let has_images = layout.row_pixels > 0;
        Ok(Self {
            slots: Slots::new(layout)?,
            groups: (0..count).map(group).collect(),
            images: has_images.then(|| Images::new(stream, layout)).transpose()?,
            staging: MappedMemory::new(stream, "rows", bytes)?,
            sent: vec![0; layout.rows_max],
            number: 0,
            places,
            block,
            tables_memory,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let images = self.images.as_ref().map_or(0, Images::bytes);
        self.staging.bytes() + self.block.bytes() + self.tables_memory.bytes() + images
    }

    /// What could be admitted now.
    pub(super) fn room(&self) -> Room {
        self.slots.room()
    }

    /// Sends a part of the images of the next admission; `heard` as in [`Self::is_taken_over`].
    pub(super) fn stage(&mut self, images: &[u8], from: usize, heard: u64) -> Result<usize> {
        self.images.as_mut().map_or(Ok(0), |own| own.stage(images, from, heard))
    }

    /// Whether the device has taken over all that the group's entry and slots held before, given
    /// the highest number that was heard of: what was sent up to it has arrived.
    pub(super) fn is_taken_over(&self, group: GroupId, heard: u64) -> bool {
        let members = self.slots.members(group);
        let entry = self.groups[group.0 as usize].sent;
        members.iter().all(|slot| self.sent[slot.0 as usize] <= heard) && entry <= heard
    }

    /// Whether the images of the next admission have a block that nobody reads.
    pub(super) fn has_image_room(&self, heard: u64) -> bool {
        self.images.as_ref().is_none_or(|images| images.has_room(heard))
    }

    /// Sends a group's rows to the device, which has taken over what lay there before. `is_alone`:
    /// no row was there when they came. Gives the number of the admission.
    pub(super) fn send(
        &mut self,
        stream: &Stream,
        group: GroupId,
        rows: &Admission<'_>,
        is_alone: bool,
    ) -> Result<u64> {
        self.number = number_after(self.number);
        self.send_images(stream, rows)?;
        self.note(group, rows);
        self.write_states(group, rows);
        let end = self.write_entry(group, rows);
        self.upload(stream, group, end, is_alone)?;
        Ok(self.number)
    }

    /// Writes the states of a group's rows into the staging block.
    fn write_states(&mut self, group: GroupId, rows: &Admission<'_>) {
        let Self { slots, staging, number, .. } = self;
        let bytes = size_of::<RowState>();
        for (row, slot) in slots.members(group).iter().enumerate() {
            // SAFETY: the device has taken over what was sent from here for a row. A copy of all
            // states that is still on its way may read it for a slot that had none: whatever
            // arrives, this state's own copy follows.
            let state = unsafe { staging.part_mut(bytes * slot.0 as usize, bytes) };
            put(state, 0, &[RowState::new(rows, row, *number)]);
        }
    }

    /// Writes a group's entry into the staging block; gives where it ends there.
    fn write_entry(&mut self, group: GroupId, rows: &Admission<'_>) -> usize {
        let Self { slots, staging, places, .. } = self;
        let at = places.entry(group);
        // SAFETY: the device has taken over what was sent from here before.
        let entry = unsafe { staging.part_mut(at, places.entry_bytes) };
        let used = fill(entry, places, rows, slots.members(group));
        if !slots.are_packed(group) {
            for (token, place) in slots.places(group).enumerate() {
                put(entry, places.origin + 4 * token, &[place]);
            }
        }
        let RowInput::Text { tokens, .. } = rows.input else { return at + used };
        put(entry, places.tokens, tokens);
        at + places.tokens + size_of_val(tokens)
    }

    fn send_images(&mut self, stream: &Stream, rows: &Admission<'_>) -> Result<()> {
        let number = self.number;
        match (&mut self.images, rows.input) {
            (None, RowInput::Text { .. } | RowInput::Images(_)) => Ok(()),
            (Some(images), RowInput::Text { .. }) => images.forget(),
            (Some(images), RowInput::Images(pixels)) => images.begin(stream, pixels, number),
            (Some(images), RowInput::Staged) => images.begin_staged(stream, rows.rows(), number),
            (None, RowInput::Staged) => Err(Error::mismatch("rows", "texts", "staged images")),
        }
    }

    /// What the host must know of a group that comes.
    fn note(&mut self, group: GroupId, rows: &Admission<'_>) {
        let is_packed = self.slots.are_packed(group);
        let origin = self.block.address() + (self.places.entry(group) + self.places.origin) as u64;
        for slot in self.slots.members(group) {
            self.sent[slot.0 as usize] = self.number;
        }
        self.groups.iter_mut().for_each(|other| other.has_input = false);
        let group = &mut self.groups[group.0 as usize];
        group.tables.begin(if is_packed { 0 } else { origin });
        group.rows = rows.rows();
        group.are_images = !matches!(rows.input, RowInput::Text { .. });
        let image_tokens = self.places.image_tokens;
        let has_tokens = !group.are_images || image_tokens > 0;
        let counts = rows.places(image_tokens).take(if has_tokens { group.rows } else { 0 });
        group.tokens = counts.clone().sum();
        group.longest = counts.max().unwrap_or(0);
        group.has_input = true;
        group.sent = self.number;
    }

    /// Copies states and entry: all that lies between as well, where nobody else is there.
    fn upload(&self, stream: &Stream, group: GroupId, end: usize, is_alone: bool) -> Result<()> {
        let entry = self.places.entry(group);
        if is_alone {
            return self.copy(stream, 0, end);
        }
        let state = size_of::<RowState>();
        let runs = self.slots.members(group).chunk_by(|a, b| b.0 == a.0 + 1);
        for run in runs {
            self.copy(stream, state * run[0].0 as usize, state * (run[0].0 as usize + run.len()))?;
        }
        self.copy(stream, entry, end)
    }

    fn copy(&self, stream: &Stream, from: usize, end: usize) -> Result<()> {
        // SAFETY: parts of rows are written again only once the device has taken this over; the
        // block is as long.
        unsafe {
            stream.upload_later(
                self.block.address() + from as u64,
                self.staging.slice(from, end - from),
            )
        }
    }

    /// Rows of parked `groups` are one group now, which runs: the first. Their tables are still to
    /// be made one.
    pub(crate) fn gather(&mut self, groups: &[GroupId]) {
        let of = |group: &GroupId| &self.groups[group.0 as usize];
        let rows = groups.iter().map(|group| of(group).rows).sum();
        let tokens = groups.iter().map(|group| of(group).tokens).sum();
        let longest = groups.iter().map(|group| of(group).longest).max().unwrap_or(0);
        let first = self.slots.gather(groups);
        let group = &mut self.groups[first.0 as usize];
        group.rows = rows;
        group.tokens = tokens;
        group.longest = longest;
        group.has_input = false;
    }

    fn running(&self) -> Option<&Group> {
        self.groups.get(self.slots.running()?.0 as usize)
    }

    /// What describes the rows alive of the running group, and the table that the next op to drop
    /// some of them writes.
    ///
    /// # Errors
    /// Nobody runs.
    pub(crate) fn tables(&self) -> Result<[Table; 2]> {
        self.slots.require_running().map(|group| self.tables_of(group))
    }

    /// The same of any group.
    pub(crate) fn tables_of(&self, group: GroupId) -> [Table; 2] {
        let tables = &self.groups[group.0 as usize].tables;
        [tables.current(), tables.next()]
    }

    /// What describes the rows alive of the running group.
    ///
    /// # Errors
    /// Nobody runs.
    pub(crate) fn table(&self) -> Result<Table> {
        self.tables().map(|[current, _]| current)
    }

    /// Such an op has been enqueued.
    pub(crate) fn advance(&mut self) {
        if let Some(group) = self.slots.running() {
            self.groups[group.0 as usize].tables.advance();
        }
    }

    /// Rows of the running group when it was admitted or gathered.
    pub(crate) fn count(&self) -> usize {
        self.running().map_or(0, |group| group.rows)
    }

    /// Their tokens; 0 for images.
    pub(crate) fn token_count(&self) -> usize {
        self.running().map_or(0, |group| group.tokens)
    }

    /// Tokens of the longest of them.
    pub(crate) fn longest(&self) -> usize {
        self.running().map_or(0, |group| group.longest)
    }

    /// Number of the last admission.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Fails unless the running group is as it was admitted.
    fn check_input(&self) -> Result<()> {
        let is_there = |group: &Group| group.has_input && group.tables.are_whole();
        if self.running().is_none_or(is_there) {
            return Ok(());
        }
        Err(Error::mismatch("rows", "all rows that were admitted", "rows that left"))
    }

    /// Tokens of the running group.
    ///
    /// # Errors
    /// Some have left since it was admitted.
    pub(crate) fn tokens(&self) -> Result<&[Token]> {
        self.check_input()?;
        let Some(group) = self.slots.running() else { return Ok(&[]) };
        let at = self.places.entry(group) + self.places.tokens;
        let len = self.token_count() * size_of::<Token>();
        // SAFETY: the device only reads the staging block.
        Ok(bytemuck::cast_slice(unsafe { self.staging.slice(at, len) }))
    }

    /// The same as the device has them.
    ///
    /// # Errors
    /// Nobody runs.
    pub(crate) fn tokens_address(&self) -> Result<Address> {
        Ok(self.entry_address()? + self.places.tokens as u64)
    }

    /// Pixels of the running group as the device has them.
    ///
    /// # Errors
    /// It has texts, or some rows have left since it was admitted.
    pub(crate) fn pixels_address(&self) -> Result<Address> {
        self.check_input()?;
        let are_images = self.running().is_some_and(|group| group.are_images);
        let images = self.images.as_ref().filter(|_| are_images);
        images.map(Images::address).ok_or_else(|| Error::mismatch("rows", "images", "texts"))
    }

    /// Vectors that one entry of a map stands for, at an op whose rows have `tokens`. Texts of one
    /// token each pass for images.
    ///
    /// # Errors
    /// The op is for images and the group has texts, or it is for tokens and images have none.
    pub(crate) fn vectors(&self, tokens: RowTokens) -> Result<usize> {
        let are_images = self.running().is_some_and(|group| group.are_images);
        match tokens {
            RowTokens::Own if are_images && self.places.image_tokens == 0 => {
                Err(Error::mismatch("rows", "texts", "images"))
            }
            RowTokens::Each(_) if !are_images && self.token_count() != self.count() => {
                Err(Error::mismatch("rows", "images", "texts"))
            }
            RowTokens::Own => Ok(1),
            RowTokens::Each(each) => Ok(each),
        }
    }

    fn entry_address(&self) -> Result<Address> {
        let group = self.slots.require_running()?;
        Ok(self.block.address() + self.places.entry(group) as u64)
    }

    /// Settings of the running group.
    ///
    /// # Errors
    /// Nobody runs.
    pub(crate) fn settings_address(&self) -> Result<Address> {
        self.entry_address()
    }

    /// Its thresholds by exit.
    ///
    /// # Errors
    /// Nobody runs.
    pub(crate) fn thresholds_address(&self) -> Result<Address> {
        Ok(self.entry_address()? + self.places.thresholds as u64)
    }

    /// Row states by slot.
    pub(crate) fn states_address(&self) -> Address {
        self.block.address()
    }
}

/// The number of the next admission. A record has its lower half, which is never 0: so a word that
/// nobody has written says nothing of any row.
fn number_after(number: u64) -> u64 {
    let next = number + 1;
    if next as u32 == 0 { next + 1 } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_leave_zero_out() {
        assert_eq!([number_after(0), number_after(1)], [1, 2]);
        let last = u64::from(u32::MAX);
        assert_eq!([number_after(last - 1), number_after(last)], [last, last + 2]);
        assert_eq!(number_after(last + 2), last + 3);
        assert_ne!(number_after(2 * last + 1) as u32, 0);
    }
}
