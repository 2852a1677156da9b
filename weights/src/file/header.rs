//! The header of a safetensors file: parsed without buffering, then checked to the last byte.
//!
//! The `safetensors` crate's own parser buffers the header's JSON as a tree (about ten times its
//! size) and lets a repeated key win over the first one. This one reads the same format straight
//! into a table of bounded length; the tests hold it against the crate's answers.

use std::fmt;
use std::path::Path;

use safetensors::Dtype;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::file::shown;
use crate::json::{self, Few, Object};

/// Longest header, bytes: the format's own limit.
const HEADER_BYTES_MAX: u64 = 100_000_000;
/// Most tensors in a file, some four times what the deepest model here has.
pub(crate) const TENSORS_MAX: usize = 8_192;
/// Most dimensions of a tensor.
const RANK_MAX: usize = 8;
/// Longest name of a tensor, bytes.
const NAME_BYTES_MAX: usize = 512;
/// The bytes before the header: its length, little-endian.
const LENGTH_BYTES: usize = 8;
/// The key that holds text instead of a tensor.
const METADATA: &str = "__metadata__";
/// The one text in it that is kept.
const NOTE: &str = "offramp";
/// The text in it that names the framework, and those that keep weights the other way round.
const FORMAT: &str = "format";
const OTHER_FORMATS: [&str; 3] = ["tf", "flax", "jax"];

/// Where a tensor lies.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Box<str>,
    pub(crate) shape: Box<[usize]>,
    pub(crate) dtype: Dtype,
    /// First byte and byte after the last, from the start of the data.
    pub(crate) span: (usize, usize),
}

/// What a file holds, by rising name.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) entries: Vec<Entry>,
    /// Where the data begins, bytes from the start of the file.
    pub(crate) data_start: usize,
    /// This project's own document, where there is one.
    pub(crate) note: Option<String>,
}

/// Reads the header of the whole file's `content`. What is accepted here is safe to slice: every
/// span lies in the file, fits its shape, and overlaps no other.
pub(super) fn parse(content: &[u8], file: &Path) -> Result<Header> {
    let text = header_bytes(content, file)?;
    let data_start = LENGTH_BYTES + text.len();
    let mut table: Table = json::parse(text, file)?;
    if let Some(format) = OTHER_FORMATS.into_iter().find(|other| table.is_of(other)) {
        let key = format!("{METADATA}.{FORMAT}");
        return Err(Error::refused(file, key, "`pt`", format_args!("`{format}`")));
    }
    let entries = &mut table.entries;
    entries.sort_unstable_by(|a, b| (a.span, &a.name).cmp(&(b.span, &b.name)));
    check_spans(entries, content.len() - data_start, file)?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = entries.windows(2).find(|two| two[0].name == two[1].name) {
        let what = format!("tensor `{}` is listed twice", twice[0].name);
        return Err(Error::damaged(file, what));
    }
    Ok(Header { entries: table.entries, data_start, note: table.note })
}

/// The JSON text between the length and the data.
fn header_bytes<'a>(content: &'a [u8], file: &Path) -> Result<&'a [u8]> {
    let damaged = |what: String| Err(Error::damaged(file, what));
    let Some((length, rest)) = content.split_first_chunk::<LENGTH_BYTES>() else {
        return damaged(format!("{} bytes long, too short for a header", content.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX {
        return damaged(format!("a header of {length} bytes, of at most {HEADER_BYTES_MAX}"));
    }
    let Some(text) = rest.get(..length as usize) else {
        return damaged(format!("a header of {length} bytes in a file of {}", content.len()));
    };
    if text.first() != Some(&b'{') {
        return damaged("the header does not begin with `{`: not a safetensors file".into());
    }
    Ok(text)
}

/// Tensors must follow each other without gap or overlap, from the first byte to the last.
fn check_spans(entries: &[Entry], data_bytes: usize, file: &Path) -> Result<()> {
    let mut next = 0;
    for entry in entries {
        let (start, end) = entry.span;
        let name = &entry.name;
        if start != next || end < start {
            let what =
                format!("tensor `{name}` lies at {start}..{end}, expected to start at {next}");
            return Err(Error::damaged(file, what));
        }
        if bytes(entry) != Some(end - start) {
            let (dtype, shape) = (entry.dtype, shown(&entry.shape));
            let what = format!("tensor `{name}`, {dtype} {shape}, has {} bytes", end - start);
            return Err(Error::damaged(file, what));
        }
        next = end;
    }
    if next != data_bytes {
        let what = format!("the tensors take {next} bytes, the file holds {data_bytes}");
        return Err(Error::damaged(file, what));
    }
    Ok(())
}

/// Bytes that the shape and the element type ask for; `None` when that is no number of bytes.
fn bytes(entry: &Entry) -> Option<usize> {
    let elements =
        entry.shape.iter().try_fold(1_usize, |product, dim| product.checked_mul(*dim))?;
    let bits = elements.checked_mul(entry.dtype.bitsize())?;
    bits.is_multiple_of(8).then_some(bits / 8)
}

/// The header's JSON object.
struct Table {
    entries: Vec<Entry>,
    note: Option<String>,
    format: Option<String>,
}

impl Table {
    fn is_of(&self, format: &str) -> bool {
        self.format.as_deref() == Some(format)
    }
}

/// The value under a tensor's name.
#[derive(Deserialize)]
struct Place {
    dtype: Dtype,
    shape: Few<usize, RANK_MAX>,
    data_offsets: (usize, usize),
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor)
    }
}

struct TableVisitor;

impl<'de> Visitor<'de> for TableVisitor {
    type Value = Table;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {TENSORS_MAX} tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Table, A::Error> {
        let mut entries = Vec::new();
        let mut metadata = None;
        while let Some(name) = map.next_key::<Box<str>>()? {
            if &*name == METADATA {
                if metadata.is_some() {
                    return Err(A::Error::duplicate_field(METADATA));
                }
                metadata = Some(map.next_value::<Option<Metadata>>()?);
                continue;
            }
            if entries.len() == TENSORS_MAX {
                return Err(A::Error::invalid_length(TENSORS_MAX + 1, &self));
            }
            entries.push(entry(name, map.next_value::<Object<Place>>()?.0)?);
        }
        let Metadata { note, format } = metadata.flatten().unwrap_or_default();
        Ok(Table { entries, note, format })
    }
}

fn entry<E: serde::de::Error>(name: Box<str>, place: Place) -> Result<Entry, E> {
    if name.len() > NAME_BYTES_MAX {
        return Err(E::custom(format_args!("a name is over {NAME_BYTES_MAX} bytes: `{name}`")));
    }
    let shape = place.shape.0.into_boxed_slice();
    Ok(Entry { name, shape, dtype: place.dtype, span: place.data_offsets })
}

/// Free text that writers leave; only this project's own is kept, and the framework's name.
#[derive(Default)]
struct Metadata {
    note: Option<String>,
    format: Option<String>,
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MetadataVisitor)
    }
}

struct MetadataVisitor;

impl<'de> Visitor<'de> for MetadataVisitor {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut found = Metadata::default();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<String>()?;
            let (key, place) = match key.as_str() {
                NOTE => (NOTE, &mut found.note),
                FORMAT => (FORMAT, &mut found.format),
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(A::Error::duplicate_field(key));
            }
        }
        Ok(found)
    }
}
