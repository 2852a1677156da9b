//! What a model demands of its inputs.

use offramp_weights::image::Preprocessing;
use offramp_weights::{Input, ModelSpec, Network, TextSpec};

use crate::error::{Error, InputError};

/// How large a batch may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows of a pass.
    pub rows_max: usize,
    /// Most tokens of a pass of texts, all rows together. Images are limited by `rows_max` alone.
    pub tokens_max: usize,
}

impl Limits {
    /// Most rows that may be asked for.
    pub const ROWS: usize = 1 << 20;
    /// Most tokens that may be asked for.
    pub const TOKENS: usize = 1 << 26;

    /// Whether they can be those of an engine. Where its device has no room for them, it says so.
    ///
    /// # Errors
    /// [`Error::Options`] for no rows at all, and for more than [`ROWS`](Self::ROWS) or
    /// [`TOKENS`](Self::TOKENS).
    pub fn check(&self) -> Result<(), Error> {
        let Self { rows_max, tokens_max } = *self;
        let (rows, tokens) = (Self::ROWS, Self::TOKENS);
        if rows_max == 0 || rows_max > rows {
            return Err(Error::Options(format!(
                "rows_max: expected 1 to {rows}, found {rows_max}"
            )));
        }
        if tokens_max > tokens {
            return Err(Error::Options(format!(
                "tokens_max: expected at most {tokens}, found {tokens_max}"
            )));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { rows_max: 32, tokens_max: 4096 }
    }
}

/// Tokens of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Kind of each token; empty means all 0.
    pub kinds: Vec<u16>,
}

/// One input, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Tokens of a text.
    Text(TokenRow),
    /// An image, prepared: `[height, width, channels]`.
    Image(Vec<u8>),
}

impl From<TokenRow> for Row {
    fn from(row: TokenRow) -> Self {
        Self::Text(row)
    }
}

/// What a model demands of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowRules {
    /// It reads texts.
    Text(TextRules),
    /// It reads images.
    Image(ImageRules),
}

impl RowRules {
    /// The rules of a model.
    pub fn of(spec: &ModelSpec) -> Self {
        match &spec.input {
            Input::Tokens(text) => Self::Text(TextRules::of(text)),
            Input::Pixels(input) => Self::Image(ImageRules::of(input, &spec.network)),
        }
    }

    /// Tokens of a row: ids of a text, or what an image becomes. 0 for a row of the other kind,
    /// which [`check`](Self::check) refuses.
    pub fn tokens(&self, row: &Row) -> usize {
        match (self, row) {
            (Self::Text(_), Row::Text(row)) => row.ids.len(),
            (Self::Image(rules), Row::Image(_)) => rules.tokens,
            (Self::Text(_), Row::Image(_)) | (Self::Image(_), Row::Text(_)) => 0,
        }
    }

    /// Tokens of a row for which `wanted` are wished: no more of a text than the model reads, and
    /// of an image its own number, whatever is wished.
    pub fn clamp_tokens(&self, wanted: usize) -> usize {
        match self {
            Self::Text(rules) => wanted.min(rules.tokens_max),
            Self::Image(rules) => rules.tokens,
        }
    }

    /// `limits` as its rows meet them: of images, tokens enough for `rows_max` rows.
    pub fn limits(&self, limits: Limits) -> Limits {
        match self {
            Self::Text(_) => limits,
            Self::Image(rules) => Limits { tokens_max: limits.rows_max * rules.tokens, ..limits },
        }
    }

    /// A row of random tokens, or of random pixels, for measurements.
    pub fn random(&self, tokens: usize, seed: u64) -> Row {
        let mut rng = fastrand::Rng::with_seed(seed);
        match self {
            Self::Text(rules) => {
                let ids = (0..tokens).map(|_| rng.u32(0..rules.vocab as u32)).collect();
                TokenRow { ids, kinds: Vec::new() }.into()
            }
            Self::Image(rules) => Row::Image((0..rules.bytes()).map(|_| rng.u8(..)).collect()),
        }
    }

    /// The same for passes within `limits`: every row that keeps them fits an empty batch.
    pub(crate) fn within(self, limits: Limits) -> Self {
        match self {
            Self::Text(rules) => {
                let tokens_max = rules.tokens_max.min(limits.tokens_max);
                Self::Text(TextRules { tokens_max, ..rules })
            }
            Self::Image(rules) => Self::Image(rules),
        }
    }

    /// Whether the model can read a row.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn check(&self, row: &Row) -> Result<(), InputError> {
        match (self, row) {
            (Self::Text(rules), Row::Text(row)) => rules.check(&row.ids, &row.kinds),
            (Self::Image(rules), Row::Image(pixels)) => rules.check(pixels),
            (Self::Text(_), Row::Image(_)) => Err(InputError::NotText),
            (Self::Image(_), Row::Text(_)) => Err(InputError::NotAnImage),
        }
    }
}

/// What a model demands of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRules {
    /// Pixel rows.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// Tokens that it becomes; 1 where it stays a map of pixels.
    pub tokens: usize,
}

impl ImageRules {
    fn of(input: &Preprocessing, network: &Network) -> Self {
        let Preprocessing { height, width, channels, .. } = *input;
        Self { height, width, channels, tokens: network.image_tokens().unwrap_or(1) }
    }

    /// Bytes of an image.
    pub fn bytes(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Whether the model can read an image.
    ///
    /// # Errors
    /// [`InputError::ImageSize`].
    pub fn check(&self, pixels: &[u8]) -> Result<(), InputError> {
        if pixels.len() == self.bytes() {
            return Ok(());
        }
        let Self { height, width, channels, .. } = *self;
        Err(InputError::ImageSize { bytes: pixels.len(), height, width, channels })
    }
}

/// What a model demands of a row of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextRules {
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

impl TextRules {
    fn of(spec: &TextSpec) -> Self {
        Self {
            vocab: spec.vocab,
            kinds: spec.kinds,
            tokens_max: spec.row_tokens_max(),
            position_offset: spec.position_offset as u32,
            pad_token: spec.pad_token,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rows_max: 8, tokens_max: 100 };

    #[test]
    fn an_image_is_as_many_tokens_as_it_becomes() {
        let rules = RowRules::Image(ImageRules { height: 2, width: 3, channels: 1, tokens: 197 });
        let row = rules.random(5, 1);
        assert_eq!((rules.tokens(&row), rules.clamp_tokens(5)), (197, 197));
        let limits = Limits { rows_max: 8, tokens_max: 8 * 197 };
        assert_eq!(rules.limits(LIMITS), limits, "the number of images is what limits");
        let mut batch = crate::Batch::new(rules.clone(), LIMITS);
        batch.push_row(&row).unwrap().unwrap();
        assert_eq!(batch.tokens(), rules.tokens(&row));
        let text = Row::Text(TokenRow { ids: vec![1; 3], kinds: Vec::new() });
        assert_eq!((rules.tokens(&text), rules.check(&text)), (0, Err(InputError::NotAnImage)));
    }

    #[test]
    fn a_text_is_as_long_as_it_is() {
        let (vocab, kinds, tokens_max, position_offset, pad_token) = (10, 0, 6, 0, 0);
        let rules =
            RowRules::Text(TextRules { vocab, kinds, tokens_max, position_offset, pad_token });
        assert_eq!(rules.tokens(&rules.random(5, 1)), 5);
        assert_eq!((rules.clamp_tokens(5), rules.clamp_tokens(7)), (5, 6));
        assert_eq!(rules.limits(LIMITS), LIMITS);
        let image = Row::Image(vec![0; 6]);
        assert_eq!((rules.tokens(&image), rules.check(&image)), (0, Err(InputError::NotText)));
    }
}
