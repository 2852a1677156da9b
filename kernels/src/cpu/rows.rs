//! The rows of a pass: where each lies now, and what is known of it by slot.

use std::ops::Range;

use crate::{
    ArenaLayout, Decision, Error, ExitWindow, PassInput, Result, RowInput, RowTokens, Score, Token,
};

/// A row's run of equal labels, for [`Score::Patience`].
#[derive(Clone, Copy, Default)]
struct Streak {
    label: u32,
    length: u32,
}

/// Live rows by position, and their state by slot.
#[derive(Default)]
pub(crate) struct Rows {
    // By position.
    slots: Vec<u32>,
    offsets: Vec<u32>,
    tokens: Vec<Token>,
    // By slot.
    pixels: Vec<u8>,
    answered: Vec<bool>,
    stays: Vec<bool>,
    windows: Vec<ExitWindow>,
    streaks: Vec<Streak>,
    // For the pass.
    score: Option<Score>,
    thresholds: Vec<f32>,
}

impl Rows {
    /// Sets room aside for the largest pass.
    pub(crate) fn new(layout: &ArenaLayout) -> Result<Self> {
        let rows = layout.rows_max;
        Ok(Self {
            slots: room(rows)?,
            offsets: room(rows.saturating_add(1))?,
            tokens: room(layout.tokens_max)?,
            pixels: room(rows.saturating_mul(layout.row_pixels))?,
            answered: room(rows)?,
            stays: room(rows)?,
            windows: room(rows)?,
            streaks: room(rows)?,
            score: None,
            thresholds: room(layout.exits)?,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        let row = 4 + 4 + size_of::<Streak>() + size_of::<ExitWindow>() + 2;
        self.slots.capacity() * row
            + self.tokens.capacity() * size_of::<Token>()
            + self.thresholds.capacity() * 4
            + self.pixels.capacity()
    }

    /// Takes over the rows of a pass, all alive and without an answer.
    pub(crate) fn begin(&mut self, pass: &PassInput<'_>, layout: &ArenaLayout) -> Result<()> {
        pass.check(layout)?;
        let rows = pass.rows();
        self.take(&pass.input)?;
        refill(&mut self.slots, 0..rows as u32);
        refill(&mut self.answered, std::iter::repeat_n(false, rows));
        refill(&mut self.stays, pass.stays.iter().copied());
        let any = std::iter::repeat_n(ExitWindow::ANY, rows);
        refill(&mut self.windows, pass.windows.iter().copied().chain(any).take(rows));
        refill(&mut self.streaks, std::iter::repeat_n(Streak::default(), rows));
        refill(&mut self.thresholds, pass.thresholds.iter().copied());
        self.score = Some(pass.score);
        Ok(())
    }

    fn take(&mut self, input: &RowInput<'_>) -> Result<()> {
        match *input {
            RowInput::Text { tokens, offsets } => {
                refill(&mut self.offsets, offsets.iter().copied());
                refill(&mut self.tokens, tokens.iter().copied());
            }
            RowInput::Images(pixels) => {
                self.pixels.clear();
                self.pixels.extend_from_slice(pixels);
            }
            RowInput::Staged => return Err(Error::mismatch("rows", "texts or images", "staged")),
        }
        Ok(())
    }

    /// Forgets every row.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.offsets.clear();
        self.tokens.clear();
        self.pixels.clear();
    }

    /// Number of rows alive.
    pub(crate) fn live(&self) -> usize {
        self.slots.len()
    }

    /// Tokens of the rows alive.
    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The slot of the row at `position`.
    pub(crate) fn slot(&self, position: usize) -> u32 {
        self.slots[position]
    }

    /// Pixels of all rows of the pass, by slot.
    pub(crate) fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Tokens of all rows alive.
    pub(crate) fn count(&self, tokens: RowTokens) -> usize {
        match tokens {
            RowTokens::Own => self.tokens.len(),
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

    /// The score of the pass.
    pub(crate) fn score(&self) -> Score {
        self.score.unwrap_or(Score::Confidence)
    }

    /// Counts what a ramp decided (`None`: nothing of use) and gives the streak's length.
    pub(crate) fn streak(&mut self, slot: u32, label: Option<u32>, decision: Decision) -> u32 {
        let streak = &mut self.streaks[slot as usize];
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
    pub(crate) fn reaches(&self, exit: u32, slot: u32, score: f32) -> bool {
        let ExitWindow { first, last } = self.windows[slot as usize];
        let threshold = self.thresholds.get(exit as usize);
        exit >= first && (exit >= last || threshold.is_some_and(|&least| score >= least))
    }

    /// Marks the row as answered; false if it had its answer before.
    pub(crate) fn answer(&mut self, slot: u32) -> bool {
        !std::mem::replace(&mut self.answered[slot as usize], true)
    }

    /// Whether the row at `position` has its answer and need not stay.
    fn leaves(&self, position: usize) -> bool {
        let slot = self.slots[position] as usize;
        self.answered[slot] && !self.stays[slot]
    }

    /// Keeps the first token of each row.
    pub(crate) fn narrow(&mut self) {
        let rows = self.live();
        for position in 0..rows {
            self.tokens[position] = self.tokens[self.offsets[position] as usize];
        }
        refill(&mut self.offsets, 0..=rows as u32);
        self.tokens.truncate(rows);
    }

    /// Packs the rows that remain, in their order, and reports each run of tokens that moves:
    /// `moved(from, to)`, with `to` never behind `from`.
    pub(crate) fn compact(&mut self, tokens: RowTokens, moved: impl FnMut(Range<usize>, usize)) {
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
            self.slots[rows] = self.slots[position];
            rows += 1;
        }
        self.slots.truncate(rows);
    }

    fn compact_texts(&mut self, mut moved: impl FnMut(Range<usize>, usize)) {
        let (mut rows, mut end) = (0, 0);
        for position in 0..self.live() {
            if self.leaves(position) {
                continue;
            }
            let from = self.span(position, RowTokens::Own);
            if from.start != end {
                self.tokens.copy_within(from.clone(), end);
                moved(from.clone(), end);
            }
            self.slots[rows] = self.slots[position];
            end += from.len();
            rows += 1;
            // The offset after `position` is still to be read; while no row has left, it is right.
            if rows <= position {
                self.offsets[rows] = end as u32;
            }
        }
        self.slots.truncate(rows);
        self.offsets.truncate(rows + 1);
        self.tokens.truncate(end);
    }
}

/// An empty vector with room for `count`.
fn room<T>(count: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    vec.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { what: "rows", bytes })?;
    Ok(vec)
}

/// Replaces the contents within the room there is.
fn refill<T>(vec: &mut Vec<T>, values: impl Iterator<Item = T>) {
    vec.clear();
    vec.extend(values);
}
