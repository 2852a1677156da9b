//! Texts in: lines of JSON or of plain text, turned into tokens.

use std::path::Path;
use std::sync::Arc;

use super::id::Id;
use super::json::{self, Keys};
use super::{BadRow, Row};
use crate::failure::Result;
use crate::lines::{LINE_BYTES_MAX, Line, Lines};
use offramp::{Encoded, Model, TokenRow, Tokenizer};

/// Reads rows from lines.
pub(crate) struct Texts {
    lines: Lines,
    tokenizer: Result<Arc<Tokenizer>, String>,
}

impl Texts {
    /// Opens `path`; `-` is standard input. A model without a tokenizer reads tokens only.
    pub(crate) fn open(path: &Path, model: &Model) -> Result<Self> {
        let tokenizer = model.tokenizer().map(Arc::new).map_err(|error| error.to_string());
        Ok(Self::new(Lines::open(path)?, tokenizer))
    }

    /// Of lines at hand; without a tokenizer, with the reason why there is none.
    pub(crate) fn new(lines: Lines, tokenizer: Result<Arc<Tokenizer>, String>) -> Self {
        Self { lines, tokenizer }
    }

    /// The next row with its line number; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Result<Row, BadRow>)>> {
        let Some((number, line)) = self.lines.next()? else { return Ok(None) };
        let bad = |error: String| BadRow { id: None, error };
        let row = match line {
            Line::TooLong => Err(bad(format!("the line is longer than {LINE_BYTES_MAX} bytes"))),
            Line::NotUtf8 => Err(bad("the line is not UTF-8".to_owned())),
            Line::Text(text) if text.trim().is_empty() => Err(bad("the line is empty".to_owned())),
            Line::Text(text) if text.trim_start().starts_with('{') => self.json(number, &text),
            Line::Text(text) => self.plain(number, text),
        };
        Ok(Some((number, row)))
    }

    /// Whether the next row may have to be waited for.
    pub(crate) fn may_wait(&self) -> bool {
        self.lines.may_wait()
    }

    fn plain(&self, number: u64, text: String) -> Result<Row, BadRow> {
        let id = Id::Number(number);
        match self.encode(&text, None) {
            Ok(Encoded { row, is_cut }) => {
                Ok(Row { id, text: Some(text), input: row.into(), is_cut, label: None })
            }
            Err(error) => Err(BadRow { id: Some(id), error }),
        }
    }

    fn json(&self, number: u64, line: &str) -> Result<Row, BadRow> {
        let (id, keys) = json::parse(line)?;
        match self.tokens(&keys) {
            Ok(Encoded { row, is_cut }) => Ok(Row {
                id: id.unwrap_or(Id::Number(number)),
                text: keys.text,
                input: row.into(),
                is_cut,
                label: keys.label,
            }),
            Err(error) => Err(BadRow { id, error }),
        }
    }

    fn tokens(&self, keys: &Keys) -> Result<Encoded, String> {
        let Keys { text, text_pair, tokens, kinds, .. } = keys;
        match (text, tokens) {
            (Some(_), Some(_)) => Err("both \"text\" and \"tokens\": give one".to_owned()),
            (None, None) => Err("neither \"text\" nor \"tokens\"".to_owned()),
            (Some(_), None) if kinds.is_some() => Err("\"kinds\" go with \"tokens\"".to_owned()),
            (Some(text), None) => self.encode(text, text_pair.as_deref()),
            (None, Some(_)) if text_pair.is_some() => {
                Err("\"text_pair\" goes with \"text\"".to_owned())
            }
            (None, Some(ids)) => {
                let (ids, kinds) = (ids.clone(), kinds.clone().unwrap_or_default());
                Ok(Encoded { row: TokenRow { ids, kinds }, is_cut: false })
            }
        }
    }

    fn encode(&self, text: &str, pair: Option<&str>) -> Result<Encoded, String> {
        let tokenizer = self.tokenizer.as_ref().map_err(|error| {
            format!("{error}; without a tokenizer give \"tokens\" instead of text")
        })?;
        tokenizer.encode_noting_cuts(text, pair).map_err(|error| error.to_string())
    }
}
