//! Rows in: texts for a model that reads text, pictures for one that reads images.

mod images;
mod texts;

use std::path::Path;

use offramp::{Model, RowRules};
use serde_json::Value;

use crate::failure::{Failure, Result};
use images::Images;
pub(crate) use texts::Texts;

/// One input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// As the input names it; the line number where it does not.
    pub(crate) id: Value,
    /// The text it came from, or its file, for showing.
    pub(crate) text: Option<String>,
    /// What the model is to read.
    pub(crate) input: offramp::Row,
    /// What a person says it is.
    pub(crate) label: Option<String>,
}

/// A line that is no input.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BadRow {
    /// The id, where it could be read.
    pub(crate) id: Option<Value>,
    /// What is wrong with the line.
    pub(crate) error: String,
}

/// Reads rows, one after the other.
pub(crate) enum RowReader {
    Texts(Box<Texts>),
    Images(Box<Images>),
}

impl RowReader {
    /// Opens `path`; lines may come from `-`, standard input. `shape` is that of raw pictures.
    pub(crate) fn open(path: &Path, model: &Model, shape: Option<[usize; 3]>) -> Result<Self> {
        if model.spec().image().is_some() {
            return Ok(Self::Images(Box::new(Images::open(path, model, shape)?)));
        }
        if shape.is_some() || path.is_dir() {
            let path = path.display();
            return Err(Failure::Usage(format!("{path}: pictures, but the model reads text")));
        }
        Ok(Self::Texts(Box::new(Texts::open(path, model)?)))
    }

    /// The next row with its number, from 1; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Result<Row, BadRow>)>> {
        match self {
            Self::Texts(texts) => texts.next(),
            Self::Images(images) => images.next(),
        }
    }

    /// Whether the next row may have to be waited for.
    pub(crate) fn may_wait(&self) -> bool {
        match self {
            Self::Texts(texts) => texts.may_wait(),
            Self::Images(_) => false,
        }
    }
}

/// Reads a whole file of rows, all of which must be good.
pub(crate) fn read_all(path: &Path, model: &Model) -> Result<Vec<Row>> {
    let mut reader = RowReader::open(path, model, None)?;
    let mut rows = Vec::new();
    while let Some((line, row)) = reader.next()? {
        let row = row.map_err(|bad| bad_line(path, line, bad.error))?;
        fits(model, &row.input).map_err(|error| bad_line(path, line, error))?;
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Failure::Failed(format!("{}: no inputs", path.display())));
    }
    Ok(rows)
}

fn bad_line(path: &Path, line: u64, message: String) -> Failure {
    Failure::Line { file: path.to_owned(), line, message }
}

fn fits(model: &Model, row: &offramp::Row) -> Result<(), String> {
    RowRules::of(model.spec()).check(row).map_err(|error| error.to_string())
}
