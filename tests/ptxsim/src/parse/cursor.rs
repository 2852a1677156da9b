//! A place in a list of tokens.

use super::Parse;
use super::lexer::{Kind, Token};

/// Walks over tokens.
#[derive(Default)]
pub(super) struct Cursor<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [Token<'a>]) -> Self {
        Self { tokens, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    /// The token after the next one.
    pub(super) fn peek_second(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at + 1).copied()
    }

    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    /// The line of the token last taken.
    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at.saturating_sub(1)).map_or(1, |token| token.line)
    }

    pub(super) fn fail<T>(&self, what: impl Into<String>) -> Parse<T> {
        Err((self.line(), what.into()))
    }

    /// Whether the next token reads `text`.
    pub(super) fn is(&self, text: &str) -> bool {
        self.peek().is_some_and(|token| token.text == text && token.kind != Kind::Quoted)
    }

    /// Takes the next token where it reads `text`.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let found = self.is(text);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, text: &str) -> Parse<()> {
        match self.next() {
            Some(token) if token.text == text => Ok(()),
            Some(token) => Err((token.line, format!("expected `{text}`, found `{}`", token.text))),
            None => self.fail(format!("expected `{text}`, found the end")),
        }
    }

    /// The next token, which must be of `kind`.
    fn kind(&mut self, kind: Kind, what: &str) -> Parse<&'a str> {
        match self.next() {
            Some(token) if token.kind == kind => Ok(token.text),
            Some(token) => Err((token.line, format!("expected {what}, found `{}`", token.text))),
            None => self.fail(format!("expected {what}, found the end")),
        }
    }

    pub(super) fn word(&mut self, what: &str) -> Parse<&'a str> {
        self.kind(Kind::Word, what)
    }

    pub(super) fn quoted(&mut self, what: &str) -> Parse<&'a str> {
        self.kind(Kind::Quoted, what)
    }

    /// A whole number below 2^32.
    pub(super) fn integer(&mut self, what: &str) -> Parse<u64> {
        let word = self.word(what)?;
        match integer(word) {
            Some(number) if number <= u64::from(u32::MAX) => Ok(number),
            _ => self.fail(format!("expected {what}, found `{word}`")),
        }
    }

    /// Goes past the next `mark`.
    pub(super) fn skip_to(&mut self, mark: &str) -> Parse<()> {
        while let Some(token) = self.next() {
            if token.kind == Kind::Mark && token.text == mark {
                return Ok(());
            }
        }
        self.fail(format!("expected `{mark}`, found the end"))
    }

    /// Goes past the tokens on the line of the one last taken.
    pub(super) fn skip_line(&mut self) {
        let line = self.line();
        while self.peek().is_some_and(|token| token.line == line) {
            self.at += 1;
        }
    }

    /// Goes past the next braces and all in them.
    pub(super) fn skip_braces(&mut self) -> Parse<()> {
        self.skip_to("{")?;
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Some(token) if token.kind == Kind::Mark && token.text == "{" => depth += 1,
                Some(token) if token.kind == Kind::Mark && token.text == "}" => depth -= 1,
                Some(_) => {}
                None => return self.fail("expected `}`, found the end"),
            }
        }
        Ok(())
    }
}

/// A whole number: decimal, hexadecimal, octal or binary.
pub(super) fn integer(word: &str) -> Option<u64> {
    if !word.starts_with(|first: char| first.is_ascii_digit()) {
        return (word == "WARP_SZ").then_some(32);
    }
    let word = word.strip_suffix('U').unwrap_or(word);
    let radix = |prefix: &str, radix| {
        word.strip_prefix(prefix).and_then(|text| u64::from_str_radix(text, radix).ok())
    };
    radix("0x", 16)
        .or_else(|| radix("0X", 16))
        .or_else(|| radix("0b", 2))
        .or_else(|| if word.len() > 1 { radix("0", 8) } else { None })
        .or_else(|| word.parse().ok())
}
