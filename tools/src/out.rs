//! The one way to standard output: buffered, and aware that its reader may leave.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::log;

/// The path that stands for standard input or output.
pub(crate) const STANDARD: &str = "-";

/// Standard output or a file.
pub(crate) struct Out {
    name: PathBuf,
    to: Box<dyn Write>,
}

impl Out {
    pub(crate) fn stdout() -> Self {
        let to = Box::new(BufWriter::new(io::stdout().lock()));
        Self { name: PathBuf::from("standard output"), to }
    }

    /// Opens `path` for writing; `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path == Path::new(STANDARD) {
            return Ok(Self::stdout());
        }
        let file = File::create(path).map_err(|source| Failure::io(path, "create", source))?;
        Ok(Self { name: path.to_owned(), to: Box::new(BufWriter::new(file)) })
    }

    /// Writes text and a line end.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<()> {
        writeln!(self.to, "{text}").map_err(|source| Failure::io(&self.name, "write", source))
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)?;
        self.line(text)
    }

    /// Writes a value as indented JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value)?;
        self.line(text)
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.to.flush().map_err(|source| Failure::io(&self.name, "write", source))
    }
}

/// Writes a sentence for people to standard error, by way of the log where there is one, so that a
/// reader that is stuck holds no server up. Whoever closed it does not want to know.
pub(crate) fn note(text: impl Display) {
    let line = format!("{text}\n");
    if !log::take(&line) {
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Replaces a file whole or not at all, with its folder where that is missing.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let aside = Aside::of(path)?;
    let done = fs::write(&aside.0, content).and_then(|()| fs::rename(&aside.0, path));
    done.map_err(|source| Failure::io(path, "write", source))
}

/// A file beside the one to be written, which goes when that is not written.
pub(crate) struct Aside(pub(crate) PathBuf);

impl Aside {
    /// For `path`, whose folder is made.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| Failure::io(folder, "create", source))?;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self(path.with_file_name(format!(".{name}.{}.tmp", std::process::id()))))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Best effort: mostly it has been moved to its place.
        let _ = fs::remove_file(&self.0);
    }
}
