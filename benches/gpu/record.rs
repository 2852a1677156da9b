//! Results as they come: the file holds every cell that is done, should the program not reach its
//! end.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::Write as _;
use std::path::PathBuf;

use offramp::Shape;
use serde::Serialize;

use crate::report::Report;
use crate::settings::NamedModel;
use crate::{Result, note};

/// Which cell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Place {
    model: &'static str,
    rows: usize,
    row_tokens: usize,
    what: String,
}

impl Place {
    /// Of a model, whatever the shape.
    pub(crate) fn of(model: &NamedModel, what: &str) -> Self {
        Self::at(model, Shape { rows: 0, tokens: 0 }, what.to_owned())
    }

    pub(crate) fn at(model: &NamedModel, shape: Shape, what: String) -> Self {
        let Shape { rows, tokens: row_tokens } = shape;
        Self { model: model.name, rows, row_tokens, what }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, rows, row_tokens, what } = self;
        write!(f, "{model} {rows} x {row_tokens}, {what}")
    }
}

/// A cell without a result, or whose result is not right.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    #[serde(flatten)]
    pub(crate) place: Place,
    pub(crate) error: String,
}

/// Takes results one by one.
pub(crate) struct Recorder {
    report: Report,
    out: Option<PathBuf>,
}

impl Recorder {
    /// The file is written at once, so that one that cannot be is known before anything is timed.
    pub(crate) fn new(report: Report, out: Option<PathBuf>) -> Result<Self> {
        let recorder = Self { report, out };
        if let Some(folder) = recorder.out.as_ref().and_then(|out| out.parent()) {
            std::fs::create_dir_all(folder)?;
        }
        recorder.save()?;
        Ok(recorder)
    }

    /// Keeps a cell, or why there is none.
    pub(crate) fn take<T>(
        &mut self,
        place: Place,
        cell: Result<T>,
        cells: fn(&mut Report) -> &mut Vec<T>,
    ) -> Result<()> {
        match cell {
            Ok(cell) => cells(&mut self.report).push(cell),
            Err(error) => return self.fail(place, error.as_ref()),
        }
        self.save()
    }

    /// Notes that a cell is wrong or missing; whatever comes next is still measured.
    pub(crate) fn fail(&mut self, place: Place, error: &dyn Error) -> Result<()> {
        note(format_args!("{place}: failed: {error}"));
        self.report.failed.push(Failed { place, error: error.to_string() });
        self.save()
    }

    /// Puts the new file in the place of the old one.
    fn save(&self) -> Result<()> {
        let Some(out) = &self.out else { return Ok(()) };
        let new = out.with_extension("new");
        std::fs::write(&new, serde_json::to_string_pretty(&self.report)? + "\n")?;
        std::fs::rename(&new, out)?;
        Ok(())
    }

    /// Whether there is no cell, not even one that failed.
    pub(crate) fn is_empty(&self) -> bool {
        self.report.cells() == 0 && self.report.failed.is_empty()
    }

    /// The tables go to standard output, and beside the file; fails where a cell has.
    pub(crate) fn close(self) -> Result<()> {
        let tables = self.report.to_string();
        write!(std::io::stdout(), "{tables}")?;
        if let Some(out) = &self.out {
            std::fs::write(out.with_extension("md"), tables)?;
            note(format_args!("wrote {}", out.display()));
        }
        note(format_args!("{}", self.report.summary()));
        match self.report.failed.len() {
            0 => Ok(()),
            failed => Err(format!("{failed} cells failed").into()),
        }
    }
}
