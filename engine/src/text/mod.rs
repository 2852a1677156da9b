//! Text to tokens, by the model's own `tokenizer.json` and `tokenizer_config.json`.
//!
//! The `tokenizers` crate cuts a text once all of it is split, and keeps what it cut off: of a
//! pair, every piece of one text with every piece of the other. Here a text is split only as far
//! as its tokens can matter, so that work and memory follow the model, not the text. The crate
//! reads the files, merges pairs of bytes and puts special tokens around; every answer is the one
//! it gives.

mod added;
mod bytes;
mod long_word;
mod scan;
mod settings;
mod share;
#[cfg(test)]
mod tests;
mod turns;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use offramp_weights::tokenizer_config::Side;
use offramp_weights::{Foreign, TextSpec, TokenizerConfig};
use tokenizers::{
    EncodeInput, Encoding, ModelWrapper, PostProcessor as _, Token, TruncationDirection,
};

use crate::error::{Error, InputError, Result};
use crate::rules::TokenRow;
use scan::Scanner;
use share::shares;

/// Words that the crate remembers, up to some 8 KiB each: strangers choose them.
const CACHED_WORDS: usize = 1000;

/// The tokenizer of a model, truncating to what the model takes.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    scanner: Scanner,
    /// Most tokens of a row, special ones included.
    tokens_max: usize,
    side: Side,
    has_kinds: bool,
    /// Whether what stands around a pair is there.
    takes_pairs: bool,
}

/// What became of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Its tokens.
    pub row: TokenRow,
    /// Whether it had more, which do not fit.
    pub is_cut: bool,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and `tokenizer_config.json` where there is one.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] where the file is missing or not a tokenizer; the configuration asks
    /// for what cannot be done.
    pub fn open(dir: &Path, spec: &TextSpec) -> Result<Self> {
        let file = dir.join("tokenizer.json");
        let fail = |message: String| Error::Tokenizer { file: file.clone(), message };
        let bytes = std::fs::read(&file).map_err(|error| fail(error.to_string()))?;
        let mut inner = read(&bytes).map_err(fail)?;
        let config = TokenizerConfig::read(dir)?;
        let mut side = match inner.get_truncation().map(|cut| cut.direction) {
            Some(TruncationDirection::Left) => Side::Left,
            _ => Side::Right,
        };
        inner.with_truncation(None).map_err(|error| fail(error.to_string()))?;
        inner.with_padding(None);
        if let model @ (ModelWrapper::BPE(_) | ModelWrapper::Unigram(_)) = inner.get_model() {
            let mut model = model.clone();
            model.resize_cache(CACHED_WORDS);
            inner.with_model(model);
        }
        let mut tokens_max = spec.row_tokens_max();
        let mut has_kinds = spec.kinds > 1;
        if let Some(config) = &config {
            settings::apply(&mut inner, config, spec)?;
            side = config.truncation_side.unwrap_or(side);
            tokens_max = tokens_max.min(config.tokens_max.unwrap_or(usize::MAX));
            has_kinds &= settings::gives_kinds(config, spec);
        } else {
            let older = TokenizerConfig::read_older(dir)?;
            older.iter().try_for_each(|older| settings::expect_tokens(&inner, older))?;
        }
        let scanner = Scanner::new(&inner);
        // Better now than at every text.
        probe(&inner).map_err(|fault| fail(fault.to_string()))?;
        let takes_pairs = frame(&inner, Some("")).is_ok();
        Ok(Self { inner, scanner, tokens_max, side, has_kinds, takes_pairs })
    }

    /// Encodes a text, or a pair of texts, with the model's special tokens. Longer texts are cut
    /// so that they fit, special tokens kept.
    ///
    /// # Errors
    /// As [`encode_noting_cuts`](Self::encode_noting_cuts).
    pub fn encode(&self, text: &str, pair: Option<&str>) -> Result<TokenRow, InputError> {
        self.encode_noting_cuts(text, pair).map(|encoded| encoded.row)
    }

    /// The same, and whether something was cut.
    ///
    /// # Errors
    /// [`InputError::Tokenizer`] where the tokenizer refuses, [`InputError::Empty`] where nothing
    /// is left, [`InputError::TextTooLong`] where the tokenizer would have to split all of a text
    /// that long.
    pub fn encode_noting_cuts(
        &self,
        text: &str,
        pair: Option<&str>,
    ) -> Result<Encoded, InputError> {
        if pair.is_some() && !self.takes_pairs {
            return Err(malformed());
        }
        guarded(|| self.encoded(text, pair))
    }

    fn encoded(&self, text: &str, pair: Option<&str>) -> Result<Encoded, InputError> {
        let added = self.inner.get_post_processor();
        let added = added.map_or(0, |frame| frame.added_tokens(pair.is_some()));
        let room = self.tokens_max.saturating_sub(added);
        let mut first = self.part(text, room)?;
        let mut second = pair.map(|pair| self.part(pair, room)).transpose()?;
        let is_cut = match (&mut second, pair) {
            (Some(second), Some(pair)) => self.fit(&mut first, second, room, (text, pair))?,
            _ => self.cut(&mut first, room),
        };
        let row = self.frame(&first, second.as_deref())?;
        Ok(Encoded { row, is_cut })
    }

    /// The tokens of a text that can matter, and one more where there is one.
    fn part(&self, text: &str, room: usize) -> Result<Vec<u32>, InputError> {
        match self.side {
            Side::Right => self.scanner.first(text, room + 1, &self.inner),
            Side::Left => self.scanner.last(text, room + 1, &self.inner),
        }
    }

    /// Cuts both of a pair to their shares; whether something went.
    fn fit(
        &self,
        first: &mut Vec<u32>,
        second: &mut Vec<u32>,
        room: usize,
        (text, pair): (&str, &str),
    ) -> Result<bool, InputError> {
        let is_close = first.len().min(second.len()) > room && room % 2 == 1;
        let first_is_longer =
            if is_close { self.is_longer(text, pair)? } else { first.len() > second.len() };
        let shares = shares(first.len(), second.len(), room, first_is_longer);
        Ok(self.cut(first, shares.0) | self.cut(second, shares.1))
    }

    /// Whether a text has more tokens than another: where both are far too long, the longer one is
    /// given an odd token, so that all of the shorter one has to be counted.
    fn is_longer(&self, text: &str, other: &str) -> Result<bool, InputError> {
        let count = |text, most| self.scanner.count(text, most, &self.inner);
        if text.len() < other.len() {
            let tokens = count(text, usize::MAX)?;
            return Ok(count(other, tokens)? < tokens);
        }
        let tokens = count(other, usize::MAX)?;
        Ok(count(text, tokens.saturating_add(1))? > tokens)
    }

    fn cut(&self, ids: &mut Vec<u32>, most: usize) -> bool {
        let over = ids.len().saturating_sub(most);
        match self.side {
            Side::Right => ids.truncate(most),
            Side::Left => drop(ids.drain(..over)),
        }
        over > 0
    }

    /// Puts the special tokens around.
    fn frame(&self, first: &[u32], second: Option<&[u32]>) -> Result<TokenRow, InputError> {
        let encoding = |ids: &[u32], kind| {
            let token = |&id: &u32| Token::new(id, String::new(), (0, 0));
            Encoding::from_tokens(ids.iter().map(token).collect(), kind)
        };
        let second = second.map(|ids| encoding(ids, 1));
        let whole = self.inner.post_process(encoding(first, 0), second, true).map_err(refused)?;
        if whole.get_ids().is_empty() {
            return Err(InputError::Empty);
        }
        let kinds = if self.has_kinds { whole.get_type_ids() } else { &[] };
        let kinds = kinds.iter().map(|&kind| kind as u16).collect();
        Ok(TokenRow { ids: whole.get_ids().to_vec(), kinds })
    }
}

/// The crate panics at parts of a file that its reader took: no text may end a thread.
fn guarded<T>(work: impl FnOnce() -> Result<T, InputError>) -> Result<T, InputError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(malformed()))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: tokenizers::Error) -> InputError {
    InputError::Tokenizer(error.to_string())
}

fn malformed() -> InputError {
    let why = "tokenizer.json: a part that it asks for is missing or malformed";
    InputError::Tokenizer(why.to_owned())
}

/// Fails where no text can be read.
fn probe(inner: &tokenizers::Tokenizer) -> Result<(), InputError> {
    guarded(|| inner.encode_fast("a", true).map(drop).map_err(refused))
}

/// The tokens around an empty text, or two.
fn frame(inner: &tokenizers::Tokenizer, pair: Option<&str>) -> Result<Vec<u32>, InputError> {
    guarded(|| {
        let input = pair.map_or(EncodeInput::from(""), |pair| ("", pair).into());
        let frame = inner.encode_fast(input, true).map_err(refused)?;
        Ok(frame.get_ids().to_vec())
    })
}

/// Reads `tokenizer.json`; what is wrong with it, otherwise.
fn read(content: &[u8]) -> Result<tokenizers::Tokenizer, String> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    // Some parts of the crate's reader panic at what they do not expect.
    let read = catch_unwind(AssertUnwindSafe(|| tokenizers::Tokenizer::from_bytes(content)));
    let error = match read {
        Ok(Ok(inner)) => return Ok(inner),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its reader fails at a part that is malformed".to_owned(),
    };
    match Foreign::instead_of(&Foreign::Json, content) {
        Some(found) => Err(format!("expected a tokenizer in JSON, found {found}")),
        None => Err(format!("not a tokenizer: {error}")),
    }
}
