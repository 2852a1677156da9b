//! Record files: what rows showed, kept to learn from later.
//!
//! | bytes | hold |
//! |---|---|
//! | 0 .. 8 | `offramp` and a line feed |
//! | 8 .. 12 | length of the header, little-endian |
//! | header | JSON: [`RecordHeader`] |
//! | rest | rows, back to back, in the words described in `words.rs` |

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use offramp::{Decision, Observation, Task, scores};
use serde::{Deserialize, Serialize};

use super::{Feedback, words};
use crate::error::{Error, Result};
use crate::profile::ShapeProfile;

const MAGIC: [u8; 8] = *b"offramp\n";
const HEADER_BYTES_MAX: u32 = 1 << 20;

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordHeader {
    /// Grows when the format changes its meaning.
    pub schema_version: u32,
    /// Hash of the model.
    pub model: String,
    /// Hash of its ramps.
    pub ramps: String,
    /// How ramps scored.
    pub policy: String,
    /// What the model decides: classes where the key is not there.
    #[serde(default, skip_serializing_if = "is_classes")]
    pub task: Task,
    /// How far apart the sigmoids of two numbers may be that count as the same answer, where the
    /// model gives a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f32>,
    /// Where the ramps are, by ramp.
    pub sites: Vec<usize>,
    /// Thresholds that the ramps had been fitted with, by ramp, where there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Vec<f32>>,
    /// Where the rows came from.
    pub source: String,
    /// What segments and ramps cost on the machine that ran them.
    pub shapes: Vec<ShapeProfile>,
}

impl RecordHeader {
    /// The schema this code reads and writes.
    pub const SCHEMA_VERSION: u32 = 2;

    /// What the rows' words decide, and when two are the same.
    pub fn decision(&self) -> Decision {
        scores::decision(self.task, self.tolerance.unwrap_or(Decision::TOLERANCE))
    }
}

/// Headers of classes are as they were before there was another task.
fn is_classes(task: &Task) -> bool {
    *task == Task::Classes
}

/// Writes a record. The file is there, whole, after [`finish`](Self::finish), and not before.
#[derive(Debug)]
pub struct RecordWriter {
    path: PathBuf,
    aside: PathBuf,
    file: BufWriter<File>,
    rows: u64,
}

impl RecordWriter {
    /// Begins a record. A link stays a link when its file is replaced.
    ///
    /// # Errors
    /// The file cannot be written; a device or a pipe, which no file may replace.
    pub fn create(path: &Path, header: &RecordHeader) -> Result<Self> {
        let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.exists() && !path.is_file() {
            return Err(failed(path, "expected a file, as a record replaces it whole"));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let aside = path.with_file_name(name);
        let file = File::create(&aside).map_err(|error| failed(path, error))?;
        let mut writer = Self { path: path.to_owned(), aside, file: BufWriter::new(file), rows: 0 };
        let header = serde_json::to_vec(header).map_err(|error| failed(path, error))?;
        let len = (header.len() as u32).to_le_bytes();
        [&MAGIC[..], &len, &header].iter().try_for_each(|bytes| writer.write(bytes))?;
        Ok(writer)
    }

    /// Adds what a row showed, in a pass of so many rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn push(&mut self, observation: &Observation<'_>, pass_rows: u32) -> Result<()> {
        self.rows += 1;
        words::encode(observation, pass_rows).try_for_each(|word| self.write(&word.to_le_bytes()))
    }

    /// Puts the file in its place; gives the number of rows.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self) -> Result<u64> {
        self.file.flush().map_err(|error| failed(&self.path, error))?;
        std::fs::rename(&self.aside, &self.path).map_err(|error| failed(&self.path, error))?;
        Ok(self.rows)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| failed(&self.path, error))
    }
}

impl Drop for RecordWriter {
    fn drop(&mut self) {
        // Gone already where it was finished.
        let _ = std::fs::remove_file(&self.aside);
    }
}

/// Reads a record row by row.
#[derive(Debug)]
pub struct RecordReader {
    path: PathBuf,
    file: BufReader<File>,
    header: RecordHeader,
    at: u64,
}

impl RecordReader {
    /// Opens a record.
    ///
    /// # Errors
    /// The file is missing, no record, or of another schema.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = BufReader::new(File::open(path).map_err(|error| failed(path, error))?);
        let mut start = [0; 12];
        file.read_exact(&mut start).map_err(|_| failed(path, "not a record: too short"))?;
        let (magic, len) = start.split_at(MAGIC.len());
        let len = u32::from_le_bytes(len.try_into().unwrap_or_default());
        if magic != MAGIC || len > HEADER_BYTES_MAX {
            return Err(failed(path, "not a record: expected a file made with --record"));
        }
        let header =
            bytes(&mut file, len as usize).map_err(|_| failed(path, "ends within its header"))?;
        let header: RecordHeader =
            serde_json::from_slice(&header).map_err(|error| failed(path, error))?;
        if header.schema_version != RecordHeader::SCHEMA_VERSION {
            let (found, known) = (header.schema_version, RecordHeader::SCHEMA_VERSION);
            return Err(failed(path, format!("schema {found}, expected {known}")));
        }
        Ok(Self { path: path.to_owned(), file, header, at: 12 + u64::from(len) })
    }

    /// What it is a record of.
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    fn read(&mut self) -> Result<Option<Feedback>> {
        let ramps = self.header.sites.len();
        let mut first = [0; 4];
        let found = self.file.read(&mut first).map_err(|error| failed(&self.path, error))?;
        if found == 0 {
            return Ok(None);
        }
        self.file.read_exact(&mut first[found..]).map_err(|_| self.ended())?;
        let first = u32::from_le_bytes(first);
        let len = words::len_of(first, ramps).map_err(|message| self.unfit(&message))?;
        let bytes = bytes(&mut self.file, 4 * (len - 1)).map_err(|_| self.ended())?;
        let rest = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let words: Vec<u32> = [first].into_iter().chain(rest).collect();
        let row = words::decode(&words, ramps).map_err(|message| self.unfit(&message))?;
        self.at += 4 * len as u64;
        Ok(Some(row))
    }

    fn ended(&self) -> Error {
        self.unfit("the file ends within a row")
    }

    fn unfit(&self, message: &str) -> Error {
        failed(&self.path, format!("byte {}: {message}", self.at))
    }
}

impl Iterator for RecordReader {
    type Item = Result<Feedback>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// The next bytes, so many. Grows with what there is, whatever a header says.
fn bytes(file: &mut impl Read, count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match file.take(count as u64).read_to_end(&mut bytes)? {
        found if found == count => Ok(bytes),
        _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

fn failed(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::File { file: path.to_owned(), message: why.to_string() }
}

#[cfg(test)]
mod tests {
    use offramp::RowSlot;
    use proptest::prelude::*;

    use super::*;
    use offramp::Seen;

    fn header() -> RecordHeader {
        RecordHeader {
            schema_version: RecordHeader::SCHEMA_VERSION,
            model: "m".to_owned(),
            ramps: "r".to_owned(),
            policy: "confidence".to_owned(),
            task: Task::Score,
            tolerance: Some(0.05),
            sites: vec![1, 3],
            fitted: Some(vec![0.75, 2.0]),
            source: "a test".to_owned(),
            shapes: vec![],
        }
    }

    fn write(path: &Path, rows: u32) -> Vec<Feedback> {
        let mut writer = RecordWriter::create(path, &header()).unwrap();
        let seen = [0, 1].map(|ramp| Seen { ramp, label: 3, score: 0.5 });
        let row = |label| Observation {
            row: 0,
            slot: RowSlot(0),
            seen: &seen[..label as usize % 3],
            exit: label % 3,
            final_label: Some(label),
            is_sample: true,
            version: 9,
        };
        (0..rows).for_each(|label| writer.push(&row(label), 8).unwrap());
        assert!(!path.exists(), "half a record is in place");
        assert_eq!(writer.finish().unwrap(), u64::from(rows));
        (0..rows).map(|label| Feedback::of(&row(label), 8)).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.record");
        let rows = write(&path, 50);
        let reader = RecordReader::open(&path).unwrap();
        assert_eq!(reader.header(), &header());
        assert_eq!(reader.map(Result::unwrap).collect::<Vec<_>>(), rows);
        drop(RecordWriter::create(&path.with_extension("other"), &header()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something was left behind");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_no_file_is_left_and_a_link_stays_a_link() {
        let error = RecordWriter::create(Path::new("/dev/full"), &header()).err().unwrap();
        assert!(error.to_string().starts_with("/dev/full: expected a file"), "{error}");
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        RecordWriter::create(&link, &header()).unwrap().finish().unwrap();
        assert!(link.is_symlink() && RecordReader::open(&file).is_ok());
    }

    #[test]
    fn a_file_that_ends_early_is_told_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.record");
        write(&path, 2);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        let last = RecordReader::open(&path).unwrap().last().unwrap().unwrap_err().to_string();
        assert!(last.contains("rows.record: byte") && last.contains("ends within a row"), "{last}");
        for bytes in [&b"{}"[..], b"not a record at all", &bytes[..40]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(RecordReader::open(&path).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_surprise(at in 0_usize..400, byte: u8) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("rows.record");
            write(&path, 6);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            std::fs::write(&path, bytes).unwrap();
            if let Ok(reader) = RecordReader::open(&path) {
                prop_assert!(reader.take(1000).count() <= 1000);
            }
        }
    }
}
