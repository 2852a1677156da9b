//! The rows of the device: where each of the running group lies now, and what is known by slot.

use std::ops::Range;

use crate::slots::{Slots, room};
use crate::{
    Admission, ArenaLayout, Decision, Error, ExitWindow, GroupId, Result, Room, RowInput, RowSlot,
    RowTokens, Score, Token,
};

/// A row's run of equal labels, for [`Score::Patience`].
#[derive(Clone, Copy, Default)]
struct Streak {
    label: u32,
    length: u32,
}

/// What is kept of a row from `admit` to `retire`, beside its resident values.
#[derive(Clone, Copy)]
struct RowState {
    answered: bool,
    stays: bool,
    window: ExitWindow,
    streak: Streak,
}

impl RowState {
    const NEW: Self = Self {
        answered: false,
        stays: false,
        window: ExitWindow::ANY,
        streak: Streak { label: 0, length: 0 },
    };

    /// Whether the row has its answer and need not stay.
    fn leaves(&self) -> bool {
        self.answered && !self.stays
    }
}

/// What a group meets at ramps.
struct Settings {
    score: Score,
    thresholds: Vec<f32>,
}

/// Live rows of the running group by position, and the state of all rows by slot.
#[derive(Default)]
pub(crate) struct Rows {
    pub(super) slots: Slots,
    // By position, in the running group.
    live: Vec<RowSlot>,
    offsets: Vec<u32>,
    input: Input,
    /// By slot.
    states: Vec<RowState>,
    /// By group.
    settings: Vec<Settings>,
}

/// What the rows of the running group are made of.
#[derive(Default)]
struct Input {
    /// The group runs as it was admitted.
    is_there: bool,
    tokens: Vec<Token>,
    pixels: Vec<u8>,
}

impl Rows {
    /// Sets room aside for as many rows as `layout` says.
    pub(crate) fn new(layout: &ArenaLayout) -> Result<Self> {
        let rows = layout.rows_max;
        let mut states = room(rows)?;
        states.resize(rows, RowState::NEW);
        let settings =
            || Ok(Settings { score: Score::Confidence, thresholds: room(layout.exits)? });
        Ok(Self {
            slots: Slots::new(layout)?,
            live: room(rows)?,
            offsets: room(rows.saturating_add(1))?,
            input: Input {
                is_there: false,
                tokens: room(layout.tokens_max)?,
                pixels: room(rows.saturating_mul(layout.row_pixels))?,
            },
            states,
            settings: (0..layout.groups_max.max(1)).map(|_| settings()).collect::<Result<_>>()?,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        let thresholds: usize = self.settings.iter().map(|of| of.thresholds.capacity()).sum();
        self.slots.bytes()
            + self.states.len() * size_of::<RowState>()
            + 4 * (self.live.capacity() + self.offsets.capacity() + thresholds)
            + self.input.tokens.capacity() * size_of::<Token>()
            + self.input.pixels.capacity()
    }

    /// What could be admitted now.
    pub(crate) fn room(&self) -> Room {
        self.slots.room()
    }

    /// Takes rows in, all alive and without an answer, as the running group.
    pub(crate) fn admit(
        &mut self,
        rows: &Admission<'_>,
        layout: &ArenaLayout,
        slots: &mut Vec<RowSlot>,
    ) -> Result<GroupId> {
        rows.check(layout)?;
        if matches!(rows.input, RowInput::Staged) {
            return Err(Error::mismatch("rows", "texts or images", "staged"));
        }
        let group = self.slots.admit(rows.places(layout.image_tokens))?;
        self.take(&rows.input);
        if layout.image_tokens > 0 {
            let ends = (0..=rows.rows()).map(|row| (row * layout.image_tokens) as u32);
            refill(&mut self.offsets, ends);
        }
        refill(&mut self.live, self.slots.members(group).iter().copied());
        for (row, slot) in self.live.iter().enumerate() {
            let window = rows.windows.get(row).copied().unwrap_or(ExitWindow::ANY);
            self.states[slot.0 as usize] =
                RowState { stays: rows.stays[row], window, ..RowState::NEW };
        }
        let settings = &mut self.settings[group.0 as usize];
        settings.score = rows.score;
        refill(&mut settings.thresholds, rows.thresholds.iter().copied());
        slots.extend_from_slice(&self.live);
        Ok(group)
    }

    fn take(&mut self, input: &RowInput<'_>) {
        self.forget_group();
        self.input.is_there = true;
        match *input {
            RowInput::Text { tokens, offsets } => {
                self.offsets.extend_from_slice(offsets);
                self.input.tokens.extend_from_slice(tokens);
            }
            RowInput::Images(pixels) => self.input.pixels.extend_from_slice(pixels),
            RowInput::Staged => {}
        }
    }

    /// No group runs.
    fn forget_group(&mut self) {
        self.live.clear();
        self.offsets.clear();
        self.input.is_there = false;
        self.input.tokens.clear();
        self.input.pixels.clear();
    }

    /// Nobody runs any more.
    pub(crate) fn end(&mut self) {
        self.slots.park();
        self.forget_group();
    }

    /// The running group is parked at a site: `keep(position, slot)` saves the value of each row
    /// that stays in it.
    pub(crate) fn park(&mut self, mut keep: impl FnMut(&Self, usize, RowSlot)) -> Result<()> {
        self.slots.check_park()?;
        for (position, &slot) in self.live.iter().enumerate() {
            if !self.leaves(position) {
                keep(self, position, slot);
            }
        }
        self.end();
        Ok(())
    }

    /// Parked groups run as one: `bring(slot, position, first token)` restores the value of each
    /// row that is still in them.
    pub(crate) fn gather(
        &mut self,
        groups: &[GroupId],
        are_texts: bool,
        mut bring: impl FnMut(&Slots, RowSlot, usize),
    ) -> Result<()> {
        self.slots.check_gather(groups)?;
        let group = self.slots.gather(groups);
        self.forget_group();
        let mut end = 0;
        if are_texts {
            self.offsets.push(0);
        }
        for &slot in self.slots.members(group) {
            if self.states[slot.0 as usize].leaves() {
                continue;
            }
            bring(&self.slots, slot, end);
            end += self.slots.count(slot);
            self.live.push(slot);
            if are_texts {
                self.offsets.push(end as u32);
            }
        }
        Ok(())
    }

    /// Slots and places are free. A running group without rows runs no longer.
    pub(crate) fn retire(&mut self, slots: &[RowSlot]) -> Result<()> {
        self.slots.retire(slots)?;
        if self.slots.running().is_none() {
            self.forget_group();
        }
        Ok(())
    }

    /// Forgets every row.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.forget_group();
    }

    /// Number of rows alive.
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// Tokens of all rows that were admitted.
    ///
    /// # Errors
    /// Some may have left since.
    pub(crate) fn tokens(&self) -> Result<&[Token]> {
        self.check_input()?;
        Ok(&self.input.tokens)
    }

    /// Their pixels.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    pub(crate) fn pixels(&self) -> Result<&[u8]> {
        self.check_input()?;
        Ok(&self.input.pixels)
    }

    fn check_input(&self) -> Result<()> {
        if self.input.is_there || self.live.is_empty() {
            return Ok(());
        }
        Err(Error::mismatch("input", "all rows that were admitted", "rows that left"))
    }

    /// The slot of the row at `position`.
    pub(crate) fn slot(&self, position: usize) -> RowSlot {
        self.live[position]
    }

    /// Tokens of all rows alive.
    pub(crate) fn count(&self, tokens: RowTokens) -> usize {
        match tokens {
            RowTokens::Own => self.offsets.last().map_or(0, |&end| end as usize),
            RowTokens::Each(each) => self.live() * each,
        }
    }

    /// Tokens of the row at `position`.
    pub(crate) fn span(&self, position: usize, tokens: RowTokens) -> Range<usize> {
        match tokens {
            RowTokens::Own => self.offsets[position] as usize..self.offsets[position + 1] as usize,
            RowTokens::Each(each) => position * each..(position + 1) * each,
        }
    }

    /// Tokens of the longest row.
    pub(crate) fn longest(&self) -> usize {
        self.offsets.windows(2).map(|pair| (pair[1] - pair[0]) as usize).max().unwrap_or(0)
    }

    fn settings(&self) -> Option<&Settings> {
        self.settings.get(self.slots.running()?.0 as usize)
    }

    /// The score of the running group.
    pub(crate) fn score(&self) -> Score {
        self.settings().map_or(Score::Confidence, |settings| settings.score)
    }

    /// Counts what a ramp decided (`None`: nothing of use) and gives the streak's length.
    pub(crate) fn streak(&mut self, slot: RowSlot, label: Option<u32>, decision: Decision) -> u32 {
        let streak = &mut self.states[slot.0 as usize].streak;
        *streak = match label {
            None => Streak::default(),
            Some(label) if decision.agree(streak.label, label) => {
                Streak { label, length: streak.length.saturating_add(1) }
            }
            Some(label) => Streak { label, length: 1 },
        };
        streak.length
    }

    /// Whether `exit` lets the row out at `score`: within its window, by the threshold or because
    /// the window ends here. A NaN never reaches a threshold.
    pub(crate) fn reaches(&self, exit: u32, slot: RowSlot, score: f32) -> bool {
        let ExitWindow { first, last } = self.states[slot.0 as usize].window;
        let threshold = self.settings().and_then(|of| of.thresholds.get(exit as usize));
        exit >= first && (exit >= last || threshold.is_some_and(|&least| score >= least))
    }

    /// Marks the row as answered; false if it had its answer before.
    pub(crate) fn answer(&mut self, slot: RowSlot) -> bool {
        !std::mem::replace(&mut self.states[slot.0 as usize].answered, true)
    }

    /// Whether the row at `position` has its answer and need not stay.
    fn leaves(&self, position: usize) -> bool {
        self.states[self.live[position].0 as usize].leaves()
    }

    /// Keeps the first token of each row.
    pub(crate) fn narrow(&mut self) {
        self.slots.narrow();
        self.input.is_there = false;
        refill(&mut self.offsets, 0..=self.live.len() as u32);
    }

    /// Packs the rows that remain, in their order, and reports each run of tokens that moves:
    /// `moved(from, to)`, with `to` never behind `from`.
    pub(crate) fn compact(&mut self, tokens: RowTokens, moved: impl FnMut(Range<usize>, usize)) {
        self.input.is_there = false;
        match tokens {
            RowTokens::Own => self.compact_texts(moved),
            RowTokens::Each(each) => self.compact_images(each, moved),
        }
    }

    fn compact_images(&mut self, each: usize, mut moved: impl FnMut(Range<usize>, usize)) {
        let mut rows = 0;
        for position in 0..self.live() {
            if self.leaves(position) {
                continue;
            }
            if rows != position {
                moved(position * each..(position + 1) * each, rows * each);
            }
            self.live[rows] = self.live[position];
            rows += 1;
        }
        self.live.truncate(rows);
    }

    fn compact_texts(&mut self, mut moved: impl FnMut(Range<usize>, usize)) {
        let (mut rows, mut end) = (0, 0);
        for position in 0..self.live() {
            if self.leaves(position) {
                continue;
            }
            let from = self.span(position, RowTokens::Own);
            if from.start != end {
                moved(from.clone(), end);
            }
            self.live[rows] = self.live[position];
            end += from.len();
            rows += 1;
            // The offset after `position` is still to be read; while no row has left, it is right.
            if rows <= position {
                self.offsets[rows] = end as u32;
            }
        }
        self.live.truncate(rows);
        self.offsets.truncate(rows + 1);
    }
}

/// Replaces the contents within the room there is.
fn refill<T>(vec: &mut Vec<T>, values: impl Iterator<Item = T>) {
    vec.clear();
    vec.extend(values);
}
