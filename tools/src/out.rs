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
    /// Where the lines wait until all are written.
    aside: Option<Aside>,
}

impl Out {
    pub(crate) fn stdout() -> Self {
        let to = Box::new(BufWriter::new(io::stdout().lock()));
        Self { name: PathBuf::from("standard output"), to, aside: None }
    }

    /// Opens `path` for writing, and makes its folder; `-` is standard output.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if path == Path::new(STANDARD) {
            return Ok(Self::stdout());
        }
        make_folder_of(path)?;
        let file = File::create(path).map_err(|source| Failure::io(path, "create", source))?;
        Ok(Self { name: path.to_owned(), to: Box::new(BufWriter::new(file)), aside: None })
    }

    /// As [`create`](Self::create), but what is there stays until [`finish`](Self::finish).
    pub(crate) fn whole(path: &Path) -> Result<Self> {
        if path == Path::new(STANDARD) {
            return Ok(Self::stdout());
        }
        let Some(aside) = Aside::of(path)? else { return Self::create(path) };
        let out = Self::create(&aside.path)?;
        Ok(Self { name: path.to_owned(), aside: Some(aside), ..out })
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

    /// Writes what is left, and puts the file in its place.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.flush()?;
        let put = self.aside.take().map_or(Ok(()), |aside| aside.put());
        put.map_err(|source| Failure::io(&self.name, "write", source))
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
    let done = match Aside::of(path)? {
        Some(aside) => fs::write(&aside.path, content).and_then(|()| aside.put()),
        None => fs::write(path, content),
    };
    done.map_err(|source| Failure::io(path, "write", source))
}

/// Fails where a file cannot be replaced, before the work that fills it; leaves nothing behind.
pub(crate) fn expect_writable(path: &Path) -> Result<()> {
    expect(path, try_folder)
}

/// The same of a file that is written where it is: its folder need not be writable.
pub(crate) fn expect_open_for_writing(path: &Path) -> Result<()> {
    expect(path, |_| Ok(()))
}

/// `beside` says whether what else is needed of a file that is there can be done.
fn expect(path: &Path, beside: fn(&Path) -> io::Result<()>) -> Result<()> {
    // Opening a pipe would wait for its reader.
    if path == Path::new(STANDARD) || is_stream(path) {
        return Ok(());
    }
    let tried = match fs::metadata(path) {
        Ok(about) if about.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => File::options().write(true).open(path).and_then(|_| beside(path)),
        Err(_) => try_folder(path),
    };
    tried.map_err(|source| Failure::io(path, "write", source))
}

/// Makes and removes a file where `path`, or the first missing folder above it, would be made.
fn try_folder(path: &Path) -> io::Result<()> {
    let path = real(path);
    let is_there = |folder: &&Path| folder.as_os_str().is_empty() || folder.exists();
    let folder = path.ancestors().skip(1).find(is_there).unwrap_or(Path::new(""));
    let name = format!(".offramp.{}.tmp", std::process::id());
    let tried = Aside { path: folder.join(name), to: path.clone() };
    File::create(&tried.path).map(|_| ())
}

fn make_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|source| Failure::io(folder, "create", source))
}

/// Whether it is written as it is: a device, a pipe, or what a name of an open file stands for.
fn is_stream(path: &Path) -> bool {
    let is_open = ["/dev", "/proc"].iter().any(|folder| path.starts_with(folder));
    is_open || fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// Behind links: a link stays a link when its file is replaced.
fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// A file beside the one to be written, which goes when it is not put in its place.
pub(crate) struct Aside {
    pub(crate) path: PathBuf,
    to: PathBuf,
}

impl Aside {
    /// For `path`, whose folder is made; none where that is no file but a device or a pipe.
    pub(crate) fn of(path: &Path) -> Result<Option<Self>> {
        if is_stream(path) {
            return Ok(None);
        }
        let to = real(path);
        make_folder_of(&to)?;
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let path = to.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        Ok(Some(Self { path, to }))
    }

    /// Moves it to its place.
    pub(crate) fn put(&self) -> io::Result<()> {
        fs::rename(&self.path, &self.to)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Best effort: mostly it has been moved to its place.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_before_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("file"), "old").unwrap();
        for bad in [at("file/below"), at("file/far/below"), dir.path().to_owned()] {
            let told = expect_writable(&bad).unwrap_err().to_string();
            assert!(told.starts_with(&format!("{}: cannot write", bad.display())), "{told}");
        }
        for good in [at("file"), at("new"), at("deep/er/new"), "-".into(), "/dev/null".into()] {
            expect_writable(&good).unwrap();
        }
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "old");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_output_is_there_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/out");
        write_whole(&path, b"old").unwrap();
        let mut out = Out::whole(&path).unwrap();
        out.line("new").unwrap();
        out.flush().unwrap();
        drop(out);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old", "it ended early");
        let mut out = Out::whole(&path).unwrap();
        out.line("new").unwrap();
        out.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        write_whole(Path::new("/dev/null"), b"gone").unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        expect_writable(&link).unwrap();
        write_whole(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }
}
