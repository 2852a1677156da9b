//! Rows on their way into a pass, packed as the device wants them.

use offramp_kernels::{RowSlot, Token};
use offramp_weights::ModelSpec;

use crate::error::InputError;

/// What a model demands of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRules {
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Kinds of token; 0 where the model has no kind table.
    pub kinds: usize,
    /// Most tokens of a row.
    pub tokens_max: usize,
    /// Position of the first token. Where it is not 0, padding tokens inside a row take the
    /// position before it and do not count (RoBERTa's numbering).
    pub position_offset: u32,
    /// The padding token.
    pub pad_token: u32,
}

impl RowRules {
    /// The rules of a model.
    pub fn of(spec: &ModelSpec) -> Self {
        Self {
            vocab: spec.vocab,
            kinds: spec.kinds,
            tokens_max: spec.row_tokens_max(),
            position_offset: spec.position_offset as u32,
            pad_token: spec.pad_token,
        }
    }

    /// The same for passes within `limits`: every row that keeps them fits an empty batch.
    pub(crate) fn within(self, limits: Limits) -> Self {
        Self { tokens_max: self.tokens_max.min(limits.tokens_max), ..self }
    }

    /// Whether the model can read a row; `kinds` is empty (all 0) or one per token.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn check(&self, ids: &[u32], kinds: &[u16]) -> Result<(), InputError> {
        if ids.is_empty() {
            return Err(InputError::Empty);
        }
        if ids.len() > self.tokens_max {
            return Err(InputError::TooLong { tokens: ids.len(), tokens_max: self.tokens_max });
        }
        if !kinds.is_empty() && kinds.len() != ids.len() {
            return Err(InputError::KindsMismatch { tokens: ids.len(), kinds: kinds.len() });
        }
        self.check_ids(ids)?;
        self.check_kinds(kinds)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<(), InputError> {
        match ids.iter().position(|&id| id as usize >= self.vocab) {
            Some(index) => {
                Err(InputError::UnknownToken { index, id: ids[index], vocab: self.vocab })
            }
            None => Ok(()),
        }
    }

    fn check_kinds(&self, kinds: &[u16]) -> Result<(), InputError> {
        match kinds.iter().position(|&kind| usize::from(kind) >= self.kinds.max(1)) {
            Some(index) => {
                Err(InputError::UnknownKind { index, kind: kinds[index], kinds: self.kinds })
            }
            None => Ok(()),
        }
    }
}

/// How large a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows of a pass.
    pub rows_max: usize,
    /// Most tokens of a pass, all rows together.
    pub tokens_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows_max: 32, tokens_max: 4096 }
    }
}

/// Rows of one pass, back to back. Reused: after the first fill nothing allocates.
#[derive(Clone, Debug)]
pub struct Batch {
    rules: RowRules,
    limits: Limits,
    tokens: Vec<Token>,
    offsets: Vec<u32>,
}

impl Batch {
    /// An empty batch with room for `limits`.
    pub fn new(rules: RowRules, limits: Limits) -> Self {
        let mut offsets = Vec::with_capacity(limits.rows_max + 1);
        offsets.push(0);
        Self { rules, limits, tokens: Vec::with_capacity(limits.tokens_max), offsets }
    }

    /// Adds a row; `kinds` is empty (all 0) or one per token. `None`: the batch is full, run it
    /// and push again: a row without an error fits an empty batch.
    ///
    /// # Errors
    /// The row is unfit for the model; the batch stays as it was.
    pub fn push(&mut self, ids: &[u32], kinds: &[u16]) -> Result<Option<RowSlot>, InputError> {
        self.rules.check(ids, kinds)?;
        let full = self.rows() == self.limits.rows_max
            || self.tokens.len() + ids.len() > self.limits.tokens_max;
        if full {
            return Ok(None);
        }
        let slot = RowSlot(self.rows() as u32);
        self.append(ids, kinds);
        Ok(Some(slot))
    }

    fn append(&mut self, ids: &[u32], kinds: &[u16]) {
        let offset = self.rules.position_offset;
        let mut next = offset;
        for (index, &id) in ids.iter().enumerate() {
            let skipped = offset > 0 && id == self.rules.pad_token;
            let position = if skipped { offset - 1 } else { next };
            next += u32::from(!skipped);
            let kind = kinds.get(index).copied().unwrap_or(0);
            self.tokens.push(Token { id, position: position as u16, kind });
        }
        self.offsets.push(self.tokens.len() as u32);
    }

    /// Forgets the rows, keeps the room.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.offsets.truncate(1);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// Tokens of all rows.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Where each row begins, plus the end.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(position_offset: u32) -> RowRules {
        RowRules { vocab: 10, kinds: 2, tokens_max: 4, position_offset, pad_token: 1 }
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
        assert_eq!(batch.tokens()[4], Token { id: 5, position: 0, kind: 1 });
    }

    #[test]
    fn padding_inside_a_roberta_row_takes_no_position() {
        let mut batch = batch(2);
        batch.push(&[7, 1, 8, 9], &[]).unwrap();
        let positions: Vec<u16> = batch.tokens().iter().map(|t| t.position).collect();
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
}
