//! RoBERTa's way from text to tokens, word by word: split as GPT-2 does, then merge pairs of bytes.
//!
//! The same as `ByteLevel` and `BPE` of the `tokenizers` crate; the merging is the crate's. Words
//! are split off one after the other, so that a text is left as soon as enough tokens are known.

use std::sync::LazyLock;

use regex::Regex;
use tokenizers::models::bpe::BPE;
use tokenizers::{Model as _, ModelWrapper};

use super::added::Flow;
use super::long_word::{LONG_BYTES, LongWords};
use super::turns::Turns;
use super::words::Take;

/// GPT-2's pattern but for `\s+(?!\S)`, which needs a look ahead: see [`word_bytes`].
const BEHIND_SPACE: &str = r"^(?:\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+|\s+)";
static WORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+)")
        .expect("invariant: the pattern is valid")
});
static WORD_BEHIND_SPACE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(BEHIND_SPACE).expect("invariant: the pattern is valid"));
static LETTER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\p{L}").expect("invariant: the pattern is valid"));
static NUMBER: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\p{N}").expect("invariant: the pattern is valid"));

/// A printable character for each byte, as GPT-2 chose them.
static CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut unprintable = 0x100..;
    std::array::from_fn(|byte| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte as u8 as char,
        _ => unprintable.next().and_then(char::from_u32).expect("invariant: below 0x200"),
    })
});

/// Splits texts as RoBERTa does.
#[derive(Debug)]
pub(super) struct Bytes {
    /// Whether a text that does not begin with a space is read as if it did.
    adds_space: bool,
    long_words: LongWords,
}

impl Bytes {
    /// None for a vocabulary that lacks a byte, or merges otherwise than GPT-2's does.
    pub(super) fn new(adds_space: bool, model: &BPE) -> Option<Self> {
        let is_bare = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
        let is_plain = model.dropout.is_none_or(|share| share == 0.0)
            && is_bare(&model.continuing_subword_prefix)
            && is_bare(&model.end_of_word_suffix)
            && !model.ignore_merges
            && CHARS.iter().all(|c| model.token_to_id(c.encode_utf8(&mut [0; 4])).is_some());
        is_plain.then(|| Self { adds_space, long_words: LongWords::new(model, bytes_of) })
    }

    /// The tokens of a piece of text between added tokens; `begins` where it is not the middle of
    /// one.
    pub(super) fn split(
        &self,
        mut text: &str,
        begins: bool,
        model: &ModelWrapper,
        take: &mut Take<'_>,
    ) -> Flow {
        let mut is_spaced = begins && self.adds_space && !text.starts_with(' ');
        let (mut word, mut turns) = (Vec::new(), Turns::default());
        while !text.is_empty() {
            let (bytes, rest) = text.split_at(word_bytes(text, is_spaced));
            turns.read(bytes.len());
            word.clear();
            word.extend(is_spaced.then_some(b' '));
            word.extend_from_slice(bytes.as_bytes());
            self.merge(&word, model, take)?;
            (text, is_spaced) = (rest, false);
        }
        Flow::Continue(())
    }

    fn merge(&self, word: &[u8], model: &ModelWrapper, take: &mut Take<'_>) -> Flow {
        if word.len() > LONG_BYTES {
            return self.long_words.merge(word, model, take);
        }
        let word: String = word.iter().map(|&byte| CHARS[usize::from(byte)]).collect();
        // A vocabulary with every byte in it splits every word.
        let tokens = model.tokenize(&word).unwrap_or_default();
        tokens.into_iter().try_for_each(|token| take(token.id))
    }
}

/// The bytes that a token of the vocabulary stands for; none for those that are not made of bytes.
pub(super) fn bytes_of(token: &str) -> Option<Vec<u8>> {
    token.chars().map(|c| CHARS.iter().position(|&d| d == c).map(|byte| byte as u8)).collect()
}

/// Bytes of the first word of a text, which has a space before it where it is `spaced`.
fn word_bytes(text: &str, is_spaced: bool) -> usize {
    let pattern = if is_spaced { &WORD_BEHIND_SPACE } else { &WORD };
    let bytes = pattern.find(text).map_or(text.len(), |word| word.end());
    let is_space = text.starts_with(char::is_whitespace) && text[..bytes].trim().is_empty();
    if !is_space || bytes == text.len() {
        return bytes;
    }
    // Of white space before a word, the last goes with the word or stands by itself.
    let last = text[..bytes].char_indices().next_back().map_or(0, |(at, _)| at);
    match last {
        0 if !is_spaced => bytes,
        last => last,
    }
}

/// Whether words end between two characters whatever stands around them, so that a text may be cut
/// in two there.
pub(super) fn ends_words(before: char, behind: char) -> bool {
    !before.is_whitespace() && behind.is_whitespace()
        || is_letter(before) && !is_letter(behind)
        || is_number(before) && !is_number(behind)
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || !c.is_ascii() && LETTER.is_match(c.encode_utf8(&mut [0; 4]))
}

fn is_number(c: char) -> bool {
    c.is_ascii_digit() || !c.is_ascii() && NUMBER.is_match(c.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_gpt_2() {
        let words = |mut text: &'static str| {
            let mut words = Vec::new();
            while !text.is_empty() {
                let (word, rest) = text.split_at(word_bytes(text, false));
                words.push(word);
                text = rest;
            }
            words
        };
        assert_eq!(
            words("it's  a\n\n b!'s 12x"),
            ["it", "'s", " ", " a", "\n\n", " b", "!'", "s", " 12", "x"]
        );
        assert_eq!(words("a \t "), ["a", " \t "]);
        assert_eq!(words("\na"), ["\n", "a"]);
    }
}
