//! Tokens that are found in a text before it is split into words: `[MASK]`, `<s>`, added ones.
//!
//! The rules are those of the `tokenizers` crate, which looks for them in the whole text at once.
//! Here they are found one after the other, so that nothing is looked at behind the first of them
//! that follows the cut.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::Regex;
use tokenizers::AddedToken;

/// Whether more is wanted.
pub(super) type Flow = ControlFlow<()>;

static WORD: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^\w").expect("invariant: the pattern is valid"));

/// A stretch of text, as [`AddedTokens::walk`] hands it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Plain text between added tokens.
    Piece(&'a str),
    /// An added token.
    Token(u32),
}

/// A set of added tokens, to be found in texts.
#[derive(Debug)]
pub(super) struct AddedTokens {
    finder: AhoCorasick,
    tokens: Vec<(u32, AddedToken)>,
    /// Special ones are read as plain text.
    splits_special: bool,
}

impl AddedTokens {
    /// None where they are too many to be looked for.
    pub(super) fn new(tokens: Vec<(u32, AddedToken)>, splits_special: bool) -> Option<Self> {
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(_, token)| &token.content))
            .ok()?;
        Some(Self { finder, tokens, splits_special })
    }

    /// Hands out pieces and tokens in their order, until no more is wanted.
    pub(super) fn walk(&self, text: &str, take: &mut dyn FnMut(Part<'_>) -> Flow) -> Flow {
        let mut start = 0;
        for found in self.finder.find_iter(text) {
            let (id, token) = &self.tokens[found.pattern().as_usize()];
            let (before, behind) = (&text[..found.start()], &text[found.end()..]);
            let is_split = self.splits_special && token.special;
            if is_split || token.single_word && !stands_alone(before, behind) {
                continue;
            }
            let mut end = found.end();
            let mut piece_end = found.start();
            if token.lstrip {
                piece_end = before.trim_end().len().max(start);
            }
            if token.rstrip {
                end += behind.len() - behind.trim_start().len();
            }
            if start < piece_end {
                take(Part::Piece(&text[start..piece_end]))?;
            }
            take(Part::Token(*id))?;
            start = end;
        }
        if start < text.len() {
            take(Part::Piece(&text[start..]))?;
        }
        Flow::Continue(())
    }

    /// Whether no token can reach over the place before `c`, wherever that stands.
    pub(super) fn lacks(&self, c: char) -> bool {
        !self.tokens.iter().any(|(_, token)| token.content.contains(c))
    }

    /// Whether one takes the white space behind it.
    pub(super) fn take_spaces_behind(&self) -> bool {
        self.tokens.iter().any(|(_, token)| token.rstrip)
    }
}

/// Whether no word goes on across the borders of a token.
fn stands_alone(before: &str, behind: &str) -> bool {
    let last = before.char_indices().next_back().map_or(0, |(at, _)| at);
    !WORD.is_match(&before[last..]) && !WORD.is_match(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(tokens: &[AddedToken], text: &str) -> Vec<String> {
        let tokens = (0..).zip(tokens.iter().cloned()).collect();
        let mut found = Vec::new();
        let _ = AddedTokens::new(tokens, false).unwrap().walk(text, &mut |part| {
            found.push(match part {
                Part::Piece(piece) => piece.to_owned(),
                Part::Token(id) => format!("#{id}"),
            });
            Flow::Continue(())
        });
        found
    }

    #[test]
    fn tokens_are_found_the_longest_first_and_take_spaces_where_they_say_so() {
        let token = |text: &str| AddedToken::from(text, true);
        assert_eq!(parts(&[token("ab"), token("abc")], "xabcab"), ["x", "#1", "#0"]);
        assert_eq!(parts(&[token("<m>").lstrip(true)], "a  <m>  b"), ["a", "#0", "  b"]);
        assert_eq!(parts(&[token("<m>").rstrip(true)], "a  <m>  b"), ["a  ", "#0", "b"]);
        assert_eq!(
            parts(&[token("m").single_word(true)], "am m ma m"),
            ["am ", "#0", " ma ", "#0"]
        );
    }
}
