//! From text to tokens, as many as are asked for and from the side that is asked for.

use std::ops::ControlFlow;

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NormalizerWrapper;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::{AddedToken, ModelWrapper};

use super::added::{AddedTokens, Flow, Part};
use super::bytes::{self, Bytes};
use super::words::{Take, Words};
use crate::error::InputError;

/// Longest text that the `tokenizers` crate splits as a whole: about 16 MiB while it does.
pub(super) const WHOLE_BYTES_MAX: usize = 64 << 10;
/// What it is given at a time where texts may be cut at spaces.
const CHUNK_BYTES: usize = 4 << 10;
/// Bytes that are looked at first for a token from the end.
const TOKEN_BYTES: usize = 8;

/// Splits texts.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Found in the text as it stands.
    added: AddedTokens,
    rules: Rules,
}

#[derive(Debug)]
enum Rules {
    /// BERT's.
    Words(Words),
    /// RoBERTa's, with the added tokens that it finds in pieces of text.
    Bytes { bytes: Bytes, added: AddedTokens },
    /// Others that never look across a space: the `tokenizers` crate splits what lies between two.
    Spaces,
    /// Others: the crate splits all of a text.
    Whole,
}

impl Scanner {
    /// Of a tokenizer that neither cuts nor pads.
    pub(super) fn new(inner: &tokenizers::Tokenizer) -> Self {
        let splits_special = inner.get_encode_special_tokens();
        let (normalised, raw): (Vec<_>, Vec<_>) =
            inner.get_added_tokens_decoder().into_iter().partition(|(_, token)| token.normalized);
        let added = |tokens| AddedTokens::new(tokens, splits_special);
        let rules = rules(inner, normalised, splits_special);
        match added(raw) {
            Some(added) => {
                let spaces = part_at_spaces(inner).then_some(Rules::Spaces);
                Self { added, rules: rules.or(spaces).unwrap_or(Rules::Whole) }
            }
            None => {
                let added = added(Vec::new()).expect("invariant: nothing is not too much");
                Self { added, rules: Rules::Whole }
            }
        }
    }

    /// Whether texts are split here.
    #[cfg(test)]
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.rules, Rules::Words(_) | Rules::Bytes { .. })
    }

    /// The first tokens of a text, at most `most`.
    pub(super) fn first(
        &self,
        text: &str,
        most: usize,
        inner: &tokenizers::Tokenizer,
    ) -> Result<Vec<u32>, InputError> {
        let mut ids = Vec::new();
        if most == 0 {
            return Ok(ids);
        }
        self.scan(text, true, inner, &mut |id| {
            ids.push(id);
            more(ids.len() < most)
        })?;
        Ok(ids)
    }

    /// The last tokens of a text, at most `most`.
    pub(super) fn last(
        &self,
        text: &str,
        most: usize,
        inner: &tokenizers::Tokenizer,
    ) -> Result<Vec<u32>, InputError> {
        let mut bytes = most.saturating_mul(TOKEN_BYTES);
        loop {
            let start = self.start_before(text, text.len().saturating_sub(bytes));
            let mut ids = Vec::new();
            self.scan(&text[start..], start == 0, inner, &mut |id| {
                ids.push(id);
                more(true)
            })?;
            if start == 0 || ids.len() >= most {
                ids.drain(..ids.len().saturating_sub(most));
                return Ok(ids);
            }
            bytes = bytes.saturating_mul(2).max(TOKEN_BYTES);
        }
    }

    /// How many tokens a text has, at most `most`.
    pub(super) fn count(
        &self,
        text: &str,
        most: usize,
        inner: &tokenizers::Tokenizer,
    ) -> Result<usize, InputError> {
        let mut count = 0;
        self.scan(text, true, inner, &mut |_| {
            count += 1;
            more(count < most)
        })?;
        Ok(count)
    }

    /// Hands out the tokens of a text; `begins` where it is not the end of a longer one.
    fn scan(
        &self,
        text: &str,
        begins: bool,
        inner: &tokenizers::Tokenizer,
        take: &mut Take<'_>,
    ) -> Result<(), InputError> {
        match self.rules {
            Rules::Words(_) | Rules::Bytes { .. } => {}
            Rules::Spaces => return self.chunks(text, inner, take),
            Rules::Whole => return whole(text, inner, take).map(drop),
        }
        let model = inner.get_model();
        let mut is_first = begins;
        let _ = self.added.walk(text, &mut |part| {
            // Behind an added token a piece of text begins anew.
            let begins = std::mem::replace(&mut is_first, true);
            match part {
                Part::Token(id) => take(id),
                Part::Piece(piece) => self.piece(piece, begins, model, take),
            }
        });
        Ok(())
    }

    /// Hands a text to the crate from space to space.
    fn chunks(
        &self,
        mut text: &str,
        inner: &tokenizers::Tokenizer,
        take: &mut Take<'_>,
    ) -> Result<(), InputError> {
        while !text.is_empty() {
            let (chunk, rest) = text.split_at(chunk_bytes(text));
            if whole(chunk, inner, take)?.is_break() {
                break;
            }
            text = rest;
        }
        Ok(())
    }

    fn piece(&self, text: &str, begins: bool, model: &ModelWrapper, take: &mut Take<'_>) -> Flow {
        let (bytes, added) = match &self.rules {
            Rules::Words(words) => return words.split(text, model, take),
            Rules::Bytes { bytes, added } => (bytes, added),
            Rules::Spaces | Rules::Whole => return more(false),
        };
        let mut is_first = begins;
        added.walk(text, &mut |part| {
            let begins = std::mem::replace(&mut is_first, true);
            match part {
                Part::Token(id) => take(id),
                Part::Piece(piece) => bytes.split(piece, begins, model, take),
            }
        })
    }

    /// A place at or before `at` where a text may be cut in two: the tokens of both parts are those
    /// of the whole. 0 where there is none.
    fn start_before(&self, text: &str, at: usize) -> usize {
        let at = text.floor_char_boundary(at);
        let places = text[..at].char_indices().rev();
        let mut behind = text[at..].chars().next();
        for (place, before) in places {
            if behind.is_some_and(|behind| self.parts(before, behind)) {
                return place + before.len_utf8();
            }
            behind = Some(before);
        }
        0
    }

    fn parts(&self, before: char, behind: char) -> bool {
        match &self.rules {
            Rules::Words(words) => words.ends_words(behind) && self.added.lacks(behind),
            Rules::Bytes { added, .. } => {
                bytes::ends_words(before, behind)
                    && self.added.lacks(behind)
                    && added.lacks(behind)
                    && !(self.added.take_spaces_behind() || added.take_spaces_behind())
            }
            Rules::Spaces => is_space_behind_word(before, behind),
            Rules::Whole => false,
        }
    }
}

/// What of the crate's rules is done here; none where they are others.
fn rules(
    inner: &tokenizers::Tokenizer,
    normalised: Vec<(u32, AddedToken)>,
    splits_special: bool,
) -> Option<Rules> {
    let tokens = inner.get_added_tokens_decoder();
    let lack_spaces = !tokens.values().any(|token| token.content.contains(char::is_whitespace));
    match (inner.get_normalizer(), inner.get_pre_tokenizer()?, inner.get_model()) {
        (
            Some(NormalizerWrapper::BertNormalizer(rules)),
            PreTokenizerWrapper::BertPreTokenizer(_),
            ModelWrapper::WordPiece(model),
        ) if normalised.is_empty() && lack_spaces => Words::new(*rules, model).map(Rules::Words),
        (None, PreTokenizerWrapper::ByteLevel(split), ModelWrapper::BPE(model))
            if split.use_regex && lack_spaces =>
        {
            let bytes = Bytes::new(split.add_prefix_space, model)?;
            Some(Rules::Bytes { bytes, added: AddedTokens::new(normalised, splits_special)? })
        }
        _ => None,
    }
}

/// Whether the tokens before and behind a space that follows a letter are those of the whole text.
fn part_at_spaces(inner: &tokenizers::Tokenizer) -> bool {
    let model = inner.get_model();
    let is_random =
        matches!(model, ModelWrapper::BPE(BPE { dropout: Some(share), .. }) if *share > 0.0);
    let is_plain = |token: &AddedToken| {
        !token.lstrip && !token.rstrip && !token.content.contains(char::is_whitespace)
    };
    inner.get_normalizer().is_none_or(keeps_spaces)
        && inner.get_pre_tokenizer().is_some_and(|split| knows(split) && parts_words(split))
        && !is_random
        && inner.get_added_tokens_decoder().values().all(is_plain)
}

/// Whether a normaliser leaves spaces and what stands on either side of them apart.
fn keeps_spaces(rules: &NormalizerWrapper) -> bool {
    match rules {
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::StripAccents(_) => true,
        NormalizerWrapper::Sequence(rules) => rules.as_ref().iter().all(keeps_spaces),
        _ => false,
    }
}

/// Whether it is known how texts are split.
fn knows(split: &PreTokenizerWrapper) -> bool {
    match split {
        PreTokenizerWrapper::Punctuation(_) | PreTokenizerWrapper::Digits(_) => true,
        PreTokenizerWrapper::Sequence(splits) => splits.as_ref().iter().all(knows),
        split => parts_words(split),
    }
}

/// Whether words end at spaces.
fn parts_words(split: &PreTokenizerWrapper) -> bool {
    match split {
        PreTokenizerWrapper::BertPreTokenizer(_)
        | PreTokenizerWrapper::Whitespace(_)
        | PreTokenizerWrapper::WhitespaceSplit(_) => true,
        PreTokenizerWrapper::ByteLevel(split) => split.use_regex,
        PreTokenizerWrapper::Sequence(splits) => splits.as_ref().iter().any(parts_words),
        _ => false,
    }
}

fn is_space_behind_word(before: char, behind: char) -> bool {
    before.is_ascii_alphanumeric() && behind == ' '
}

/// Bytes to the first place to cut beyond [`CHUNK_BYTES`]; all where there is none.
fn chunk_bytes(text: &str) -> usize {
    let from = text.floor_char_boundary(CHUNK_BYTES);
    let pairs = text.as_bytes()[from..].windows(2);
    let is_place = |two: &[u8]| is_space_behind_word(two[0].into(), two[1].into());
    pairs.into_iter().position(is_place).map_or(text.len(), |at| from + at + 1)
}

/// Hands out the tokens of a text that the crate splits at once.
fn whole(
    text: &str,
    inner: &tokenizers::Tokenizer,
    take: &mut Take<'_>,
) -> Result<Flow, InputError> {
    if text.len() > WHOLE_BYTES_MAX {
        return Err(InputError::TextTooLong { bytes: text.len(), bytes_max: WHOLE_BYTES_MAX });
    }
    let encoding =
        inner.encode_fast(text, false).map_err(|error| InputError::Tokenizer(error.to_string()))?;
    Ok(encoding.get_ids().iter().try_for_each(|&id| take(id)))
}

fn more(is_wanted: bool) -> Flow {
    if is_wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
