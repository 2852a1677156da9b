//! Text to tokens, by the model's own `tokenizer.json`.

use std::path::Path;

use offramp_weights::TextSpec;
use tokenizers::{EncodeInput, TruncationParams};

use crate::error::{Error, InputError, Result};

/// The tokenizer of a model, truncating to what the model takes.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    has_kinds: bool,
}

/// Tokens of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRow {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// Kind of each token; empty means all 0.
    pub kinds: Vec<u16>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the file is missing or not a tokenizer.
    pub fn open(dir: &Path, spec: &TextSpec) -> Result<Self> {
        let file = dir.join("tokenizer.json");
        let fail = |message: String| Error::Tokenizer { file: file.clone(), message };
        let bytes = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|error| fail(format!("not a tokenizer: {error}")))?;
        let truncation =
            TruncationParams { max_length: spec.row_tokens_max(), ..TruncationParams::default() };
        inner.with_truncation(Some(truncation)).map_err(|error| fail(error.to_string()))?;
        inner.with_padding(None);
        Ok(Self { inner, has_kinds: spec.kinds > 1 })
    }

    /// Encodes a text, or a pair of texts, with the model's special tokens. Longer texts are cut
    /// so that they fit, special tokens kept.
    ///
    /// # Errors
    /// [`InputError::Tokenizer`] where the tokenizer refuses, [`InputError::Empty`] where nothing
    /// is left.
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<TokenRow, InputError> {
        let input: EncodeInput<'_> = match pair {
            Some(pair) => (text, pair).into(),
            None => text.into(),
        };
        let encoding = self
            .inner
            .encode(input, true)
            .map_err(|error| InputError::Tokenizer(error.to_string()))?;
        if encoding.get_ids().is_empty() {
            return Err(InputError::Empty);
        }
        let kinds = if self.has_kinds { encoding.get_type_ids() } else { &[] };
        let kinds = kinds.iter().map(|&kind| kind as u16).collect();
        Ok(TokenRow { ids: encoding.get_ids().to_vec(), kinds })
    }
}
