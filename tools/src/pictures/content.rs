//! The bytes of a file, gzipped or not, and complaints that name it.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::failure::{Failure, Result};

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file, unpacked where it is packed.
pub(crate) struct Content {
    path: PathBuf,
    from: Box<dyn Read>,
}

impl Content {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Failure::io(path, "open", source))?;
        Self::new(path, BufReader::new(file))
    }

    /// Of a file that is open; `path` is for complaints.
    pub(crate) fn new(path: &Path, mut file: impl BufRead + 'static) -> Result<Self> {
        let begin = file.fill_buf().map_err(|source| Failure::io(path, "open", source))?;
        let from: Box<dyn Read> = match begin.starts_with(&GZIP) {
            true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        Ok(Self { path: path.to_owned(), from })
    }

    /// The next `count` bytes, which are `what`. Grows with what there is, whatever a header says.
    pub(super) fn bytes(&mut self, count: usize, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.from).take(count as u64).read_to_end(&mut bytes);
        match read {
            Ok(found) if found == count => Ok(bytes),
            Err(source) if source.kind() != ErrorKind::UnexpectedEof => Err(self.unread(source)),
            _ => Err(self.wrong(what, "the end of the file")),
        }
    }

    /// The next four bytes as one number, most significant first.
    pub(super) fn number(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        let read = self.from.read_exact(&mut bytes);
        read.map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => self.wrong("a header", "the end of the file"),
            _ => self.unread(source),
        })?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// Fails where there is more behind `last`.
    pub(super) fn expect_end(&mut self, last: &str) -> Result<()> {
        match self.from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.wrong(&format!("the end after the last {last}"), "more bytes")),
            Err(source) => Err(self.unread(source)),
        }
    }

    /// The complaint that names the file.
    pub(super) fn wrong(&self, expected: &str, found: &str) -> Failure {
        self.complaint(&format!("expected {expected}, found {found}"))
    }

    /// Any complaint that names the file.
    pub(super) fn complaint(&self, message: &str) -> Failure {
        Failure::Failed(format!("{}: {message}", self.path.display()))
    }

    fn unread(&self, source: std::io::Error) -> Failure {
        Failure::io(&self.path, "read", source)
    }
}
