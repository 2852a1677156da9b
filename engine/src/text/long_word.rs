//! Words of any length, merged as byte pair encoding does without ever holding them whole.
//!
//! Encoding rests on one fact: a row of tokens is the encoding of its text if and only if every two
//! neighbours are the encoding of theirs. A merge across the border of two tokens would happen when
//! those two are encoded alone, as nothing beyond them has a say in it; and where none happens, the
//! sides are encoded as if each stood alone. So the encoding of each prefix of a word is that of a
//! shorter one and one token more, and there is exactly one such token. Where all prefixes that end
//! within the length of the longest token have a border in common, the encoding of the word has it
//! too, whatever follows: the tokens before it are known.

use std::collections::{BTreeSet, HashMap};

use aho_corasick::{AhoCorasick, MatchKind};
use tokenizers::models::bpe::BPE;
use tokenizers::{Model as _, ModelWrapper};

use super::added::Flow;
use super::turns::Turns;
use super::words::Take;

/// Shorter words are merged as a whole.
pub(super) const LONG_BYTES: usize = 1024;
/// Pairs of tokens that are remembered.
const PAIRS_MAX: usize = 1 << 16;
/// Stands before the first token.
const NONE: u32 = u32::MAX;

/// Merges long words. It takes a while to make, so it is made before any text comes.
#[derive(Debug)]
pub(super) struct LongWords {
    /// Finds all tokens that end at a place.
    finder: AhoCorasick,
    ids: Vec<u32>,
    bytes_max: usize,
}

/// The last token of a prefix.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    /// Its bytes; 0 where it is not known yet, and at the start.
    bytes: u32,
    id: u32,
}

impl LongWords {
    /// `bytes` gives the bytes of a token of the vocabulary.
    pub(super) fn new(model: &BPE, bytes: fn(&str) -> Option<Vec<u8>>) -> Self {
        let vocabulary = model.get_vocab().into_iter();
        let (tokens, ids): (Vec<_>, Vec<_>) = vocabulary
            .filter_map(|(token, id)| Some((bytes(&token).filter(|b| !b.is_empty())?, id)))
            .unzip();
        let finder = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&tokens);
        let finder = finder.expect("invariant: a vocabulary has fewer bytes than a finder takes");
        Self { finder, ids, bytes_max: tokens.iter().map(Vec::len).max().unwrap_or(1) }
    }

    /// Hands out the tokens of a word.
    pub(super) fn merge(&self, word: &[u8], model: &ModelWrapper, take: &mut Take<'_>) -> Flow {
        let mut prefixes = Prefixes::new(model, self.bytes_max);
        let mut turns = Turns::default();
        let mut done = 0;
        for token in self.finder.find_overlapping_iter(word) {
            if token.end() > done {
                prefixes.settle(done, take)?;
                turns.read(token.end() - done);
                done = token.end();
            }
            prefixes.try_token(token.start(), token.end(), self.ids[token.pattern().as_usize()]);
        }
        prefixes.hand_out(word.len(), take)
    }
}

/// The encodings of the prefixes of a word, behind the last border that is known.
struct Prefixes<'a> {
    model: &'a ModelWrapper,
    /// Where the known border is.
    base: usize,
    /// By end, from the border on.
    last: Vec<Last>,
    bytes_max: usize,
    /// Where to look for another border.
    look_at: usize,
    pairs: HashMap<(u32, u32), bool>,
}

impl<'a> Prefixes<'a> {
    fn new(model: &'a ModelWrapper, bytes_max: usize) -> Self {
        let look_at = LONG_BYTES.max(2 * bytes_max);
        let last = vec![Last::default()];
        Self { model, base: 0, last, bytes_max, look_at, pairs: HashMap::new() }
    }

    /// Whether the encoding of a prefix ends with this token.
    fn try_token(&mut self, start: usize, end: usize, id: u32) {
        if start < self.base {
            return;
        }
        let (from, to) = (start - self.base, end - self.base);
        if self.last.len() <= to {
            self.last.resize(to + 1, Last::default());
        }
        let before = if from == 0 { NONE } else { self.last[from].id };
        let is_open = self.last[to].bytes == 0 && (from == 0 || self.last[from].bytes > 0);
        if is_open && self.are_neighbours(before, id) {
            self.last[to] = Last { bytes: (to - from) as u32, id };
        }
    }

    fn are_neighbours(&mut self, before: u32, id: u32) -> bool {
        if let Some(&known) = self.pairs.get(&(before, id)) {
            return known;
        }
        let text = |id| self.model.id_to_token(id).unwrap_or_default();
        let (pair, expected) = match before {
            NONE => (text(id), vec![id]),
            before => (text(before) + &text(id), vec![before, id]),
        };
        let tokens = self.model.tokenize(&pair).unwrap_or_default();
        let are = tokens.iter().map(|token| token.id).eq(expected);
        if self.pairs.len() == PAIRS_MAX {
            self.pairs.clear();
        }
        self.pairs.insert((before, id), are);
        are
    }

    /// All prefixes up to `end` are known: hands out what nothing behind it can change.
    fn settle(&mut self, end: usize, take: &mut Take<'_>) -> Flow {
        if end < self.look_at {
            return Flow::Continue(());
        }
        let border = self.border(end);
        if border > self.base {
            self.hand_out(border, take)?;
            self.last.drain(..border - self.base);
            self.last[0] = Last::default();
            self.base = border;
        }
        // Twice as far each time that no border is found: all in all one walk over the word.
        let step = (end - self.base).max(LONG_BYTES).max(2 * self.bytes_max);
        self.look_at = end + step;
        Flow::Continue(())
    }

    /// The last border that all prefixes have which end close to `end`.
    fn border(&self, end: usize) -> usize {
        let first = (end + 1).saturating_sub(self.bytes_max).max(self.base);
        let mut ends: BTreeSet<usize> = (first..=end).collect();
        while ends.len() > 1 {
            let Some(longest) = ends.pop_last() else { break };
            ends.insert(longest - self.last[longest - self.base].bytes as usize);
        }
        ends.pop_last().unwrap_or(self.base)
    }

    /// Hands out the tokens from the known border to `end`.
    fn hand_out(&self, end: usize, take: &mut Take<'_>) -> Flow {
        let mut ids = Vec::new();
        let mut at = end - self.base;
        while at > 0 {
            let last = self.last[at];
            ids.push(last.id);
            at -= (last.bytes as usize).clamp(1, at);
        }
        ids.into_iter().rev().try_for_each(take)
    }
}
