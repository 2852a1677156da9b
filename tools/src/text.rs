//! Small text files that people write: lists of classes, traces.

use std::path::Path;

use crate::failure::{Failure, Result};

/// What some editors put before the first letter; it is part of no line.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// A whole file of UTF-8, less its byte order mark.
pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Failure::io(path, "read", source))?;
    if is_utf16(&bytes) {
        return Err(utf16(path));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|&b| b == b'\n');
        let (file, line) = (path.to_owned(), line.count() as u64);
        Failure::Line { file, line, message: "the line is not UTF-8".to_owned() }
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

/// Whether bytes begin as UTF-16 does: with its mark, or with letters and zeros in turn.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    let zeros = bytes.first_chunk().map(|first: &[u8; 4]| first.map(|byte| byte == 0));
    bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || zeros == Some([false, true, false, true])
        || zeros == Some([true, false, true, false])
}

/// The complaint about a file of UTF-16.
pub(crate) fn utf16(path: &Path) -> Failure {
    let path = path.display();
    Failure::Failed(format!("{path}: expected UTF-8, found UTF-16: save it as UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &[u8]) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file.txt");
        std::fs::write(&path, bytes).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn the_mark_is_taken_off_once() {
        assert_eq!(found("\u{feff}cat\r\ndog".as_bytes()).unwrap(), "cat\r\ndog");
        assert_eq!(found("\u{feff}\u{feff}".as_bytes()).unwrap(), "\u{feff}");
        assert_eq!(found("é".as_bytes()).unwrap(), "é");
        assert_eq!(found(b"").unwrap(), "");
        assert_eq!(found(b"a").unwrap(), "a");
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        let utf16: Vec<u8> = "cat".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let cases: [(&[u8], &str); 4] = [
            (b"\xff\xfec\0a\0", "file.txt: expected UTF-8, found UTF-16"),
            (b"\xfe\xff\0c\0a", "file.txt: expected UTF-8, found UTF-16"),
            (&utf16, "file.txt: expected UTF-8, found UTF-16"),
            (b"cat\ncaf\xe9\n", "file.txt:2: the line is not UTF-8"),
        ];
        for (bytes, expected) in cases {
            let error = found(bytes).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
