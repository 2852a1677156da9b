//! Results as they come: the file holds every cell that is done, should the program not reach its
//! end.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::place::{Failed, Place};
use crate::report::Report;
use crate::{Result, note};

/// Takes results one by one.
pub(crate) struct Recorder {
    report: Report,
    out: Option<PathBuf>,
}

impl Recorder {
    /// Fails where the file cannot be written, before anything is timed. What is there stays until
    /// the first cell.
    pub(crate) fn new(report: Report, out: Option<PathBuf>) -> Result<Self> {
        if let Some(out) = &out {
            let tried = try_out(out);
            tried.map_err(|error| about(out, &error))?;
        }
        Ok(Self { report, out })
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

    /// [`Self::take`], and notes what is wrong with a cell that is kept all the same.
    pub(crate) fn take_checked<T>(
        &mut self,
        place: Place,
        cell: Result<T>,
        check: impl FnOnce(&T) -> Result<()>,
        cells: fn(&mut Report) -> &mut Vec<T>,
    ) -> Result<()> {
        let wrong = cell.as_ref().ok().and_then(|cell| check(cell).err());
        self.take(place.clone(), cell, cells)?;
        wrong.map_or(Ok(()), |error| self.fail(place, error.as_ref()))
    }

    /// What cells are measured with; none where it could not be had, which is noted.
    pub(crate) fn opened<T>(&mut self, place: Place, opened: Result<T>) -> Result<Option<T>> {
        match opened {
            Ok(opened) => Ok(Some(opened)),
            Err(error) => self.fail(place, error.as_ref()).map(|()| None),
        }
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
        let text = serde_json::to_string_pretty(&self.report)? + "\n";
        let new = out.with_extension("new");
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, out));
        written.map_err(|error| about(out, &error).into())
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
            let beside = out.with_extension("md");
            std::fs::write(&beside, tables).map_err(|error| about(&beside, &error))?;
            note(format_args!("wrote {}", out.display()));
        }
        note(format_args!("{}", self.report.summary()));
        match self.report.failed.len() {
            0 => Ok(()),
            failed => Err(format!("{failed} cells failed").into()),
        }
    }
}

/// Writes beside the file what will take its place, and takes it away again.
fn try_out(out: &Path) -> std::io::Result<()> {
    if out.is_dir() {
        return Err(std::io::Error::other("is a folder"));
    }
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = out.with_extension("new");
    std::fs::write(&new, "")?;
    std::fs::remove_file(&new)
}

/// An error of a file.
fn about(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
