//! Lines of a file or of standard input, each of bounded length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};
use crate::out::STANDARD;
use crate::text::{BYTE_ORDER_MARK, is_utf16, utf16};

/// Longest line that is looked at, bytes; the rest of a longer one is skipped.
pub(crate) const LINE_BYTES_MAX: usize = 4 << 20;

/// A line that came to hand.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Text(String),
    TooLong,
    NotUtf8,
}

/// Hands out one line after the other, numbered from 1.
pub(crate) struct Lines {
    name: PathBuf,
    from: BufReader<Box<dyn Read>>,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines {
    /// Opens `path`; `-` is standard input.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let from: Box<dyn Read> = if path == Path::new(STANDARD) {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(path).map_err(|source| Failure::io(path, "open", source))?)
        };
        Ok(Self::new(path, from))
    }

    /// Of what is open; `name` is for complaints.
    pub(crate) fn new(name: &Path, from: Box<dyn Read>) -> Self {
        let from = BufReader::with_capacity(1 << 16, from);
        Self { name: name.to_owned(), from, number: 0, buffer: Vec::new() }
    }

    /// The next line with its number; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Line)>> {
        self.buffer.clear();
        if self.number == 0 {
            self.expect_utf8()?;
        }
        let read = self.fill().map_err(|source| Failure::io(&self.name, "read", source))?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        Ok(Some((self.number, self.line())))
    }

    /// Whether the next line may have to be waited for.
    pub(crate) fn may_wait(&self) -> bool {
        self.from.buffer().is_empty()
    }

    /// In UTF-16 every line would be called damaged, and nobody told why.
    fn expect_utf8(&mut self) -> Result<()> {
        let failed = |source| Failure::io(&self.name, "read", source);
        match is_utf16(self.from.fill_buf().map_err(failed)?) {
            true => Err(utf16(&self.name)),
            false => Ok(()),
        }
    }

    /// Bytes read; a line's end only where it was reached.
    fn fill(&mut self) -> io::Result<usize> {
        let limit = LINE_BYTES_MAX as u64 + 2;
        let read = (&mut self.from).take(limit).read_until(b'\n', &mut self.buffer)?;
        if read as u64 == limit && !self.buffer.ends_with(b"\n") {
            self.skip_line()?;
        }
        Ok(read)
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let held = self.from.fill_buf()?;
            let end = held.iter().position(|&byte| byte == b'\n');
            let (used, is_done) = end.map_or((held.len(), held.is_empty()), |at| (at + 1, true));
            self.from.consume(used);
            if is_done {
                return Ok(());
            }
        }
    }

    fn line(&self) -> Line {
        let bytes = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.len() > LINE_BYTES_MAX {
            return Line::TooLong;
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let mark = text.strip_prefix(BYTE_ORDER_MARK).filter(|_| self.number == 1);
                Line::Text(mark.unwrap_or(text).to_owned())
            }
            Err(_) => Line::NotUtf8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<(u64, Line)> {
        let from = Box::new(io::Cursor::new(bytes.to_vec()));
        let mut lines = Lines::new(Path::new("test"), from);
        std::iter::from_fn(|| lines.next().unwrap()).collect()
    }

    #[test]
    fn ends_of_any_kind_are_taken_off() {
        let text = |text: &str| Line::Text(text.to_owned());
        let found = all("\u{feff}a\r\n\nb".as_bytes());
        assert_eq!(found, [(1, text("a")), (2, text("")), (3, text("b"))]);
        let found = all("\u{feff}\u{feff}a\n\u{feff}b".as_bytes());
        assert_eq!(found, [(1, text("\u{feff}a")), (2, text("\u{feff}b"))]);
        assert_eq!(all(b""), []);
    }

    #[test]
    fn utf_16_is_refused_by_name() {
        let utf16 = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("{mark}{{\"text\": \"a\"}}\n").encode_utf16().flat_map(bytes).collect()
        };
        let all = [
            utf16("\u{feff}", u16::to_le_bytes),
            utf16("\u{feff}", u16::to_be_bytes),
            utf16("", u16::to_le_bytes),
            utf16("", u16::to_be_bytes),
        ];
        for bytes in all {
            let mut lines = Lines::new(Path::new("some.jsonl"), Box::new(io::Cursor::new(bytes)));
            let error = lines.next().unwrap_err().to_string();
            assert!(error.starts_with("some.jsonl: expected UTF-8, found UTF-16"), "{error}");
        }
    }

    #[test]
    fn an_endless_line_is_skipped_and_the_next_one_read() {
        let mut bytes = vec![b'x'; 3 * LINE_BYTES_MAX];
        bytes.extend_from_slice(b"\nshort\n\xff\n");
        let found = all(&bytes);
        assert_eq!(found[0], (1, Line::TooLong));
        assert_eq!(found[1], (2, Line::Text("short".to_owned())));
        assert_eq!(found[2], (3, Line::NotUtf8));
    }

    #[test]
    fn the_longest_line_still_counts() {
        let mut bytes = vec![b'x'; LINE_BYTES_MAX];
        assert!(matches!(&all(&bytes)[0].1, Line::Text(_)));
        bytes.push(b'x');
        assert_eq!(all(&bytes)[0].1, Line::TooLong);
    }
}
