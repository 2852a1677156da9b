//! Rows on their way into a pass, packed as the device wants them.

use std::sync::atomic::{AtomicU64, Ordering};

use offramp_kernels::{RowInput, RowSlot, Token};

use crate::error::InputError;
use crate::rules::{Limits, Row, RowRules, TextRules};

/// Rows of one pass, back to back. Reused: after the first fill nothing allocates.
#[derive(Clone, Debug)]
pub struct Batch {
    rules: RowRules,
    limits: Limits,
    tokens: Vec<Token>,
    pixels: Vec<u8>,
    /// Where each row begins, plus the end, in tokens.
    offsets: Vec<u32>,
    /// Batches of one stamp hold the same rows.
    stamp: u64,
}

/// A number that no batch has had, never 0.
fn fresh_stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Batch {
    /// An empty batch with room for `limits`.
    pub fn new(rules: RowRules, limits: Limits) -> Self {
        let mut offsets = Vec::with_capacity(limits.rows_max + 1);
        offsets.push(0);
        let (tokens, pixels) = match &rules {
            RowRules::Text(_) => (limits.tokens_max, 0),
            RowRules::Image(image) => (0, limits.rows_max * image.bytes()),
        };
        let (tokens, pixels) = (Vec::with_capacity(tokens), Vec::with_capacity(pixels));
        Self { rules, limits, tokens, pixels, offsets, stamp: fresh_stamp() }
    }

    /// Adds a row of tokens; `kinds` is empty (all 0) or one per token. `None`: the batch is full,
    /// run it and push again: a row without an error fits an empty batch.
    ///
    /// # Errors
    /// The row is unfit for the model; the batch stays as it was.
    pub fn push(&mut self, ids: &[u32], kinds: &[u16]) -> Result<Option<RowSlot>, InputError> {
        let RowRules::Text(rules) = &self.rules else { return Err(InputError::NotAnImage) };
        rules.check(ids, kinds)?;
        let full = self.rows() == self.limits.rows_max
            || self.tokens.len() + ids.len() > self.limits.tokens_max;
        if full {
            return Ok(None);
        }
        append(&mut self.tokens, rules, ids, kinds);
        Ok(Some(self.close(self.tokens.len())))
    }

    /// Adds an image, prepared: `[height, width, channels]`. `None` as for [`push`](Self::push).
    ///
    /// # Errors
    /// The image is unfit for the model; the batch stays as it was.
    pub fn push_image(&mut self, pixels: &[u8]) -> Result<Option<RowSlot>, InputError> {
        let RowRules::Image(rules) = &self.rules else { return Err(InputError::NotText) };
        rules.check(pixels)?;
        if self.rows() == self.limits.rows_max {
            return Ok(None);
        }
        let end = self.tokens() + rules.tokens;
        self.pixels.extend_from_slice(pixels);
        Ok(Some(self.close(end)))
    }

    /// Adds a row of either kind.
    ///
    /// # Errors
    /// As [`push`](Self::push) and [`push_image`](Self::push_image).
    pub fn push_row(&mut self, row: &Row) -> Result<Option<RowSlot>, InputError> {
        match row {
            Row::Text(row) => self.push(&row.ids, &row.kinds),
            Row::Image(pixels) => self.push_image(pixels),
        }
    }

    fn close(&mut self, end: usize) -> RowSlot {
        let slot = RowSlot(self.rows() as u32);
        self.offsets.push(end as u32);
        self.stamp = fresh_stamp();
        slot
    }

    /// Forgets the rows, keeps the room.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.pixels.clear();
        self.offsets.truncate(1);
        self.stamp = fresh_stamp();
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// Tokens of all rows, as [`RowRules::tokens`] counts them.
    pub fn tokens(&self) -> usize {
        self.offsets[self.rows()] as usize
    }

    /// Where each row begins, plus the end, in the same tokens.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Tokens of one row.
    pub(crate) fn row_tokens(&self, row: usize) -> usize {
        (self.offsets[row + 1] - self.offsets[row]) as usize
    }

    /// What tells its rows from those of all other batches, and from its own at other times.
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp
    }

    /// Its images back to back; empty for a batch of texts.
    pub(crate) fn images(&self) -> &[u8] {
        &self.pixels
    }

    /// As a device takes it.
    pub(crate) fn input(&self) -> RowInput<'_> {
        match self.rules {
            RowRules::Text(_) => RowInput::Text { tokens: &self.tokens, offsets: &self.offsets },
            RowRules::Image(_) => RowInput::Images(&self.pixels),
        }
    }
}

fn append(tokens: &mut Vec<Token>, rules: &TextRules, ids: &[u32], kinds: &[u16]) {
    let offset = rules.position_offset;
    let mut next = offset;
    for (index, &id) in ids.iter().enumerate() {
        let skipped = offset > 0 && id == rules.pad_token;
        let position = if skipped { offset - 1 } else { next };
        next += u32::from(!skipped);
        let kind = kinds.get(index).copied().unwrap_or(0);
        tokens.push(Token { id, position: position as u16, kind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::ImageRules;

    fn rules(position_offset: u32) -> RowRules {
        let (vocab, kinds, tokens_max, pad_token) = (10, 2, 4, 1);
        RowRules::Text(TextRules { vocab, kinds, tokens_max, position_offset, pad_token })
    }

    fn batch(position_offset: u32) -> Batch {
        Batch::new(rules(position_offset), Limits { rows_max: 2, tokens_max: 6 })
    }

    #[test]
    fn fills_up_by_rows_and_by_tokens() {
        let mut batch = batch(0);
        assert_eq!(batch.push(&[1, 2, 3, 4], &[]), Ok(Some(RowSlot(0))));
        assert_eq!(batch.push(&[1, 2, 3], &[]), Ok(None), "seven tokens");
        assert_eq!(batch.push(&[5], &[1]), Ok(Some(RowSlot(1))));
        assert_eq!(batch.push(&[5], &[]), Ok(None), "three rows");
        assert_eq!(batch.offsets(), [0, 4, 5]);
        assert_eq!(batch.tokens[4], Token { id: 5, position: 0, kind: 1 });
    }

    #[test]
    fn padding_inside_a_roberta_row_takes_no_position() {
        let mut batch = batch(2);
        batch.push(&[7, 1, 8, 9], &[]).unwrap();
        let positions: Vec<u16> = batch.tokens.iter().map(|t| t.position).collect();
        assert_eq!(positions, [2, 1, 3, 4]);
    }

    #[test]
    fn unfit_rows_leave_the_batch_alone() {
        let mut batch = batch(0);
        assert_eq!(batch.push(&[], &[]), Err(InputError::Empty));
        let unknown = InputError::UnknownToken { index: 1, id: 10, vocab: 10 };
        assert_eq!(batch.push(&[0, 10], &[]), Err(unknown));
        let long = InputError::TooLong { tokens: 5, tokens_max: 4 };
        assert_eq!(batch.push(&[0; 5], &[]), Err(long));
        let kind = InputError::UnknownKind { index: 0, kind: 2, kinds: 2 };
        assert_eq!(batch.push(&[0], &[2]), Err(kind));
        let mismatch = InputError::KindsMismatch { tokens: 2, kinds: 1 };
        assert_eq!(batch.push(&[0, 0], &[0]), Err(mismatch));
        assert!(batch.is_empty());
    }

    #[test]
    fn a_stamp_is_of_the_rows() {
        let mut first = batch(0);
        let mut stamps = vec![first.stamp(), batch(0).stamp()];
        first.push(&[1], &[]).unwrap();
        assert_eq!(first.clone().stamp(), first.stamp());
        stamps.push(first.stamp());
        let copy = first.clone();
        first.clear();
        stamps.push(first.stamp());
        assert_eq!(copy.stamp(), stamps[2], "a copy keeps its rows");
        stamps.sort_unstable();
        stamps.dedup();
        assert_eq!(stamps.len(), 4);
    }

    #[test]
    fn images_are_rows_of_one_size() {
        let rules = ImageRules { height: 2, width: 3, channels: 1, tokens: 1 };
        let limits = Limits { rows_max: 2, tokens_max: 0 };
        let mut batch = Batch::new(RowRules::Image(rules), limits);
        let size = InputError::ImageSize { bytes: 5, height: 2, width: 3, channels: 1 };
        assert_eq!(batch.push_image(&[0; 5]), Err(size));
        assert_eq!(batch.push(&[1], &[]), Err(InputError::NotAnImage));
        for slot in 0..2 {
            assert_eq!(batch.push_image(&[slot as u8; 6]), Ok(Some(RowSlot(slot))));
        }
        assert_eq!(batch.push_image(&[0; 6]), Ok(None));
        assert_eq!((batch.rows(), batch.tokens(), batch.pixels.len()), (2, 2, 12));
    }
}
