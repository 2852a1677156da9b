//! Files that are something else than their name says, recognised by how they begin.
//!
//! A download that went wrong leaves a page of HTML, a clone without Git LFS leaves pointers, and
//! a PyTorch file under another name is still a pickle. Read as what they should be they are
//! "damaged", which helps nobody: what they are, and what to do, does.

use std::fmt;

/// Bytes looked at: what tells files apart stands at their beginning.
const LOOKED_AT: usize = 512;
/// Letters of a text that are shown.
const SHOWN_CHARS: usize = 60;
/// The bytes before the header of a safetensors file.
const LENGTH_BYTES: usize = 8;

/// What a file is. Its text says so, with the remedy.
///
/// ```
/// use offramp_weights::Foreign;
/// let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:9f...";
/// let found = Foreign::instead_of(&Foreign::Json, pointer).unwrap();
/// assert_eq!(found, Foreign::GitLfsPointer);
/// assert!(found.to_string().contains("git lfs pull"));
/// assert_eq!(Foreign::instead_of(&Foreign::Json, b"{}"), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// No bytes at all, or only zeros.
    Empty,
    /// What a clone without Git LFS leaves in place of a large file.
    GitLfsPointer,
    /// A web page, or an error of a web server in XML.
    WebPage,
    /// What `torch.save` writes, or any other archive of that kind.
    Zip,
    /// A Python pickle, as older versions of `torch.save` wrote.
    Pickle,
    /// Weights for llama.cpp.
    Gguf,
    /// A network as ONNX.
    Onnx,
    /// Keras's and TensorFlow's HDF5.
    Hdf5,
    /// An array of NumPy.
    Numpy,
    /// Compressed by gzip, zstd or xz.
    Compressed,
    /// Text in UTF-16, as some Windows tools write.
    Utf16,
    /// A safetensors file.
    Safetensors,
    /// JSON.
    Json,
    /// Other text.
    Text {
        /// Its first line, shortened.
        begins: String,
    },
}

/// Files that begin with fixed bytes.
const STARTS: [(&[u8], Foreign); 13] = [
    (b"version https://git-lfs.github.com/", Foreign::GitLfsPointer),
    (b"version https://hawser.github.com/", Foreign::GitLfsPointer),
    (b"PK\x03\x04", Foreign::Zip),
    (b"GGUF", Foreign::Gguf),
    (b"\x89HDF\r\n\x1a\n", Foreign::Hdf5),
    (b"\x93NUMPY", Foreign::Numpy),
    (b"\x1f\x8b", Foreign::Compressed),
    (b"\x28\xb5\x2f\xfd", Foreign::Compressed),
    (b"\xfd7zXZ\x00", Foreign::Compressed),
    (b"\xff\xfe", Foreign::Utf16),
    (b"\xfe\xff", Foreign::Utf16),
    (b"\x08\x00\x12", Foreign::Onnx),
    // A pickle's opcodes end with one for a frame or a global: two bytes alone may be numbers.
    (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46", Foreign::Pickle),
];

impl Foreign {
    /// What a file is that begins with `content`, or holds it whole; `None` where that does not
    /// tell. Ask when it could not be read as what it should be.
    pub fn of(content: &[u8]) -> Option<Self> {
        let start = &content[..content.len().min(LOOKED_AT)];
        if start.iter().all(|byte| *byte == 0) {
            return Some(Self::Empty);
        }
        if let Some((_, found)) = STARTS.iter().find(|(bytes, _)| start.starts_with(bytes)) {
            return Some(found.clone());
        }
        match start {
            // The protocols that have a header, and the first opcodes of real ones.
            [0x80, 2..=5, b'}' | b'c' | b'(' | b']' | 0x8a | 0x95, ..] => Some(Self::Pickle),
            // The version of the format, then its producer's name or its graph.
            [0x08, 1..=20, 0x12 | 0x1a | 0x3a, ..] => Some(Self::Onnx),
            _ if start.get(LENGTH_BYTES) == Some(&b'{') && !is_text(&start[..LENGTH_BYTES]) => {
                Some(Self::Safetensors)
            }
            _ if is_text(start) => Some(Self::of_text(start)),
            _ => None,
        }
    }

    /// What `content` is, where that is something else than `wanted`.
    pub fn instead_of(wanted: &Self, content: &[u8]) -> Option<Self> {
        Self::of(content).filter(|found| found != wanted)
    }

    fn of_text(start: &[u8]) -> Self {
        let text = String::from_utf8_lossy(start);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        let lower = text.to_ascii_lowercase();
        if ["<!doctype", "<html", "<head", "<?xml", "<error"]
            .iter()
            .any(|tag| lower.starts_with(tag))
        {
            return Self::WebPage;
        }
        if text.starts_with(['{', '[']) {
            return Self::Json;
        }
        let line = text.lines().next().unwrap_or_default();
        Self::Text { begins: line.chars().take(SHOWN_CHARS).collect() }
    }
}

/// Whether these are letters, as UTF-8 that may be cut at its end.
fn is_text(bytes: &[u8]) -> bool {
    let whole = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) if fault.error_len().is_none() => {
            std::str::from_utf8(&bytes[..fault.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    !whole.is_empty() && !whole.contains(odd)
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let again = "a download or a copy that did not finish: fetch it again";
        let convert = "convert it with safetensors.torch.save_file, or let transformers do so with \
                       save_pretrained";
        match self {
            Self::Empty => write!(f, "no bytes, or only zeros, from {again}"),
            Self::GitLfsPointer => f.write_str(
                "a Git LFS pointer in its place: fetch the file itself with `git lfs pull`",
            ),
            Self::WebPage => f.write_str(
                "a web page: the address led to a page about the file, or to a log-in, not to it",
            ),
            Self::Zip => write!(f, "a zip archive, as torch.save writes: {convert}"),
            Self::Pickle => write!(f, "a Python pickle, as torch.save wrote: {convert}"),
            Self::Gguf => f.write_str("a GGUF file of llama.cpp: take the model's safetensors"),
            Self::Onnx => f.write_str("an ONNX network: take the model's safetensors"),
            Self::Hdf5 => f.write_str("an HDF5 file of Keras: take the model's safetensors"),
            Self::Numpy => f.write_str("an array of NumPy: save it with safetensors.numpy"),
            Self::Compressed => f.write_str("a compressed file: unpack it first"),
            Self::Utf16 => f.write_str("text in UTF-16: save it as UTF-8"),
            Self::Safetensors => f.write_str("a safetensors file"),
            Self::Json => f.write_str("JSON"),
            Self::Text { begins } => write!(f, "text that begins `{begins}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(begins: &str) -> Foreign {
        Foreign::Text { begins: begins.into() }
    }

    #[test]
    fn what_people_put_in_the_wrong_place() {
        let header = b"\x02\x00\x00\x00\x00\x00\x00\x00{}";
        let cases: [(&[u8], Foreign); 22] = [
            (b"", Foreign::Empty),
            (&[0; 900], Foreign::Empty),
            (b"version https://git-lfs.github.com/spec/v1\noid", Foreign::GitLfsPointer),
            (b"<!DOCTYPE html><html>", Foreign::WebPage),
            (b"\xef\xbb\xbf\n  <HTML lang=en>", Foreign::WebPage),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied", Foreign::WebPage),
            (b"PK\x03\x04\x00\x00\x08\x08", Foreign::Zip),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", Foreign::Pickle),
            (b"\x80\x04\x95\x10\x00", Foreign::Pickle),
            (b"\x80\x02}q\x00(", Foreign::Pickle),
            (b"GGUF\x03\x00\x00\x00", Foreign::Gguf),
            (b"\x08\x08\x12\x07pytorch", Foreign::Onnx),
            (b"\x89HDF\r\n\x1a\n\x00", Foreign::Hdf5),
            (b"\x93NUMPY\x01\x00", Foreign::Numpy),
            (b"\x1f\x8b\x08\x00", Foreign::Compressed),
            (b"\xff\xfe{\x00\"\x00", Foreign::Utf16),
            (header, Foreign::Safetensors),
            (b" {\"a\": 1}", Foreign::Json),
            (b"\xef\xbb\xbf{\"a\": 1}", Foreign::Json),
            (b"Entry not found", text("Entry not found")),
            ("größer\nals".as_bytes(), text("größer")),
            (b"Invalid username or password.\n", text("Invalid username or password.")),
        ];
        for (content, expected) in cases {
            let found = Foreign::of(content);
            assert_eq!(found, Some(expected), "{}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn what_tells_nothing_is_not_guessed() {
        for content in [&b"\x80\x02"[..], b"\x80\x99\x01", b"\x08\x99\x01", b"ab\x01", b"\xc3\x28"]
        {
            assert_eq!(Foreign::of(content), None, "{content:?}");
        }
        // Cut within a letter.
        let long = "ü".repeat(LOOKED_AT);
        assert_eq!(Foreign::of(&long.as_bytes()[1..]), None);
        assert!(matches!(Foreign::of(&long.as_bytes()[..31]), Some(Foreign::Text { .. })));
    }

    #[test]
    fn what_was_wanted_is_not_foreign() {
        assert_eq!(Foreign::instead_of(&Foreign::Json, b"{"), None);
        assert_eq!(Foreign::instead_of(&Foreign::Safetensors, b"{"), Some(Foreign::Json));
        assert!(Foreign::GitLfsPointer.to_string().contains("git lfs pull"));
        assert!(Foreign::Zip.to_string().contains("safetensors"));
    }
}
