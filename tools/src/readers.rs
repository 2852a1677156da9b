//! Ways into the readers of files that people bring: bytes in, and what was read or why not. For
//! fuzz targets, which throw millions of files at them; no part of what the command promises.

use std::ffi::OsString;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use clap::{ArgMatches, Command, CommandFactory as _};
use offramp::{Picture, Row, Tokenizer};

use crate::pictures::{Content, Idx, PictureRules};
use crate::rows::{Id, Texts};
use crate::{Cli, config, convert, failure, lines, load, pictures};

type Result<T> = std::result::Result<T, String>;

/// Named in complaints.
const NAME: &str = "file";

fn told<T>(result: failure::Result<T>) -> Result<T> {
    result.map_err(|failure| failure.chain())
}

/// A picture of any format that is decoded, whose sides are `side_max` pixels at most.
///
/// # Errors
/// It cannot be decoded.
pub fn picture(bytes: &[u8], side_max: u32) -> Result<Picture> {
    let rules = PictureRules::of_pixels(u64::from(side_max).pow(2));
    let picture = pictures::picture(bytes, &rules)?;
    let [height, width, _] = picture.shape();
    let is_long = height.max(width) > side_max as usize;
    if is_long { Err(format!("{height} x {width}")) } else { Ok(picture) }
}

/// The pictures and labels of an IDX file of images and of one of labels, packed or not.
///
/// # Errors
/// One of the files is damaged, or they do not fit.
pub fn idx(images: Vec<u8>, labels: Option<Vec<u8>>) -> Result<Vec<(Picture, Option<String>)>> {
    let content = |bytes| told(Content::new(Path::new(NAME), Cursor::new(bytes)));
    let mut idx = told(Idx::new(
        content(images)?,
        labels.map(content).transpose()?,
        &PictureRules::default(),
    ))?;
    let mut found = Vec::new();
    while let Some(one) = told(idx.next())? {
        found.push((one.picture?, one.label.map(|label| label.to_string())));
    }
    Ok(found)
}

/// A line of texts as it was read.
#[derive(Debug)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// In JSON, as the answer would name it; none where it could not be read.
    pub id: Option<String>,
    /// What the model is to read, or what is wrong.
    pub row: Result<Row>,
}

/// Lines of JSON or of plain text.
///
/// # Errors
/// They are of another encoding.
pub fn lines(bytes: Vec<u8>, tokenizer: &Arc<Tokenizer>) -> Result<Vec<Line>> {
    let lines = lines::Lines::new(Path::new(NAME), Box::new(Cursor::new(bytes)));
    let mut texts = Texts::new(lines, Ok(Arc::clone(tokenizer)));
    let mut found = Vec::new();
    while let Some((number, row)) = told(texts.next())? {
        found.push(match row {
            Ok(row) => Line { number, id: written(&row.id), row: Ok(row.input) },
            Err(bad) => Line { number, id: bad.id.as_ref().and_then(written), row: Err(bad.error) },
        });
    }
    Ok(found)
}

fn written(id: &Id) -> Option<String> {
    serde_json::to_string(id).ok()
}

/// The names in a list of classes.
///
/// # Errors
/// A line is empty.
pub fn classes(text: &str) -> Result<Vec<String>> {
    told(convert::class_names(text, Path::new(NAME)))
}

/// When the requests of a trace are due, seconds.
///
/// # Errors
/// It is no trace.
pub fn arrivals(text: &str, rate: f64, seconds: f64) -> Result<Vec<f64>> {
    told(load::arrivals::pressed(text, Path::new(NAME), rate, seconds))
}

/// Reads `--config` files for one verb.
#[derive(Debug)]
pub struct ConfigFile {
    verb: Command,
    given: ArgMatches,
}

impl ConfigFile {
    /// For a verb by its name; none where there is no such verb.
    pub fn of(verb: &str) -> Option<Self> {
        let mut cli = Cli::command();
        cli.build();
        let mut verb = cli.find_subcommand(verb)?.clone().ignore_errors(true);
        let given = verb.try_get_matches_from_mut([NAME]).ok()?;
        Some(Self { verb: verb.ignore_errors(false), given })
    }

    /// The flags that a file of this text gives.
    ///
    /// # Errors
    /// It is no TOML, or holds keys or values that are no flags.
    pub fn flags(&self, text: &str) -> Result<Vec<OsString>> {
        let path = Path::new(NAME);
        let table = told(config::parsed(text, path))?;
        told(config::flags(&self.verb, &self.given, &table, path))
    }

    /// Whether the command line takes those flags.
    ///
    /// # Errors
    /// It does not.
    pub fn parse(&mut self, flags: &[OsString]) -> Result<()> {
        let name = [OsString::from(NAME)];
        let parsed = self.verb.try_get_matches_from_mut(name.iter().chain(flags));
        parsed.map(drop).map_err(|error| error.kind().to_string())
    }
}
