//! Rows in: texts for a model that reads text, pictures for one that reads images.

mod id;
mod images;
mod json;
mod labels;
mod texts;

use std::path::Path;

use offramp::{Model, RowRules};
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::pictures::PictureRules;
pub(crate) use id::Id;
use images::Images;
pub(crate) use texts::Texts;

/// One input.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// As the input names it; the line number where it does not.
    pub(crate) id: Id,
    /// The text it came from, or its file, for showing.
    pub(crate) text: Option<String>,
    /// What the model is to read.
    pub(crate) input: offramp::Row,
    /// Whether that lacks tokens of a text that is too long.
    pub(crate) is_cut: bool,
    /// What a person says it is, as written.
    pub(crate) label: Option<Value>,
}

/// A line that is no input.
#[derive(Clone, Debug)]
pub(crate) struct BadRow {
    /// The id, where it could be read.
    pub(crate) id: Option<Id>,
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
    pub(crate) fn open(
        path: &Path,
        model: &Model,
        shape: Option<[usize; 3]>,
        rules: PictureRules,
    ) -> Result<Self> {
        if model.spec().image().is_some() {
            return Ok(Self::Images(Box::new(Images::open(path, model, shape, rules)?)));
        }
        if let Some(flag) = rules.given() {
            let message = format!("{flag} is of pictures, but the model reads text");
            return Err(Failure::Usage(message));
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
pub(crate) fn read_all(path: &Path, model: &Model, rules: PictureRules) -> Result<Vec<Row>> {
    read(path, model, rules, |_| Ok(()))
}

/// As [`read_all`], with every label that there is made what answers are held against: the name of
/// a class of the model, a list of them, or a number.
///
/// # Errors
/// A label that is none: where nobody says so, no answer is ever right.
pub(crate) fn read_labelled(path: &Path, model: &Model, rules: PictureRules) -> Result<Vec<Row>> {
    let spec = model.spec();
    read(path, model, rules, |row| {
        row.label = row.label.as_ref().map(|label| labels::known(label, spec)).transpose()?;
        Ok(())
    })
}

fn read(
    path: &Path,
    model: &Model,
    rules: PictureRules,
    finish: impl Fn(&mut Row) -> Result<(), String>,
) -> Result<Vec<Row>> {
    let mut reader = RowReader::open(path, model, None, rules)?;
    let mut rows = Vec::new();
    while let Some((line, row)) = reader.next()? {
        let mut row = row.map_err(|bad| bad_line(path, line, bad.error))?;
        let checked = finish(&mut row).and_then(|()| fits(model, &row.input));
        checked.map_err(|error| bad_line(path, line, of_file(&row.id, error)))?;
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

/// A picture of a folder is found by its name, not by its number.
fn of_file(id: &Id, error: String) -> String {
    match id {
        Id::Name(name) => format!("{name}: {error}"),
        _ => error,
    }
}

fn fits(model: &Model, row: &offramp::Row) -> Result<(), String> {
    RowRules::of(model.spec()).check(row).map_err(|error| error.to_string())
}
