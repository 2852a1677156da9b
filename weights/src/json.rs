//! JSON from strangers: bounded tokens and nesting, lists with bounded lengths, unique keys.
//!
//! The parser quotes values in its messages, buffers long numbers, and keeps a stack even for what
//! it skips: one giant token or nest would cost several times its size. [`check_bounds`] refuses
//! those before parsing; [`Few`] and [`Pairs`] bound what many small values can cost. [`Object`]
//! takes no list for the values of an object.

mod python;

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result, clip};
use crate::foreign::Foreign;

/// Longest string or number in a document, bytes.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// Most lists and objects within each other.
const DEPTH_MAX: usize = 64;

/// What some editors write before the first letter of UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses a document whose tokens are bounded. It may begin with a byte order mark, and hold
/// Python's `NaN` and `Infinity` under keys that `T` does not read.
///
/// Errors: a file of another kind, something else than JSON, or a value of another type than `T`
/// reads; the last names its key.
pub(crate) fn parse<T: DeserializeOwned>(content: &[u8], file: &Path) -> Result<T> {
    let parsed = document(content, file).and_then(|document| typed(&document, content, file));
    parsed.map_err(|fault| match fault {
        Error::Damaged { .. } => fault.foreign_or(&Foreign::Json, content),
        _ => fault,
    })
}

/// A value of such a document as its file has it, shortened.
pub(crate) fn shown(value: &str) -> String {
    clip(&python::word_of(value).unwrap_or(value))
}

/// The document as a JSON parser takes it, its tokens bounded.
pub(crate) fn document<'a>(content: &'a [u8], file: &Path) -> Result<Cow<'a, [u8]>> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    // The parser looks at texts that are read, and not at others.
    std::str::from_utf8(content)
        .map_err(|fault| Error::damaged(file, format!("not the JSON expected: {fault}")))?;
    check_bounds(content, file)?;
    Ok(python::without_odd_numbers(content))
}

/// The value of `document`, which is `content` as the parser takes it.
fn typed<T: DeserializeOwned>(document: &[u8], content: &[u8], file: &Path) -> Result<T> {
    // A list would be taken for the values of an object's keys, in their order.
    if document.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Error::damaged(file, "not the JSON expected: not an object in braces"));
    }
    let mut source = serde_json::Deserializer::from_slice(document);
    let parsed = serde_path_to_error::deserialize(&mut source);
    let value = parsed.map_err(|fault| named(file, content, &fault))?;
    source.end().map_err(|fault| damaged(file, &fault))?;
    Ok(value)
}

/// The parser's complaint with the key that it is about.
fn named(
    file: &Path,
    content: &[u8],
    fault: &serde_path_to_error::Error<serde_json::Error>,
) -> Error {
    let (path, inner) = (fault.path(), fault.inner());
    let key = match path.iter().len() {
        0 => None,
        _ => Some(clip(path)),
    };
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    if let (Some(key), Some(number)) = (&key, python::odd_number_at(content, inner)) {
        return Error::refused(file, key, "a finite number or left out", number);
    }
    match key {
        Some(key) if inner.is_data() => {
            let what = format!("not the JSON expected: `{key}`: {}", clip(inner));
            Error::damaged(file, what)
        }
        _ => damaged(file, inner),
    }
}

/// The parser's complaint as an error about `file`.
pub(crate) fn damaged(file: &Path, fault: &serde_json::Error) -> Error {
    Error::damaged(file, format!("not the JSON expected: {}", clip(fault)))
}

/// Refuses a document with a string or number longer than [`TOKEN_BYTES_MAX`], or nested deeper
/// than [`DEPTH_MAX`]. It need not be JSON; the parser will tell.
fn check_bounds(content: &[u8], file: &Path) -> Result<()> {
    let (mut start, mut depth) = (0, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in content.iter().enumerate() {
        let edge = match byte {
            b'"' => !escaped,
            b',' | b':' | b'[' | b']' | b'{' | b'}' | b' ' | b'\n' | b'\r' | b'\t' => !quoted,
            _ => false,
        };
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        if edge {
            start = at;
        } else if at - start > TOKEN_BYTES_MAX {
            let what = format!("a text or number at byte {start} is over {TOKEN_BYTES_MAX} bytes");
            return Err(Error::damaged(file, what));
        }
        match byte {
            b'[' | b'{' if edge => depth += 1,
            b']' | b'}' if edge => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            let what = format!("nested over {DEPTH_MAX} deep at byte {at}");
            return Err(Error::damaged(file, what));
        }
    }
    Ok(())
}

/// A list of at most `MAX` items.
#[derive(Debug)]
pub(crate) struct Few<T, const MAX: usize>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Few<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor(PhantomData))
    }
}

struct FewVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for FewVisitor<T, MAX> {
    type Value = Few<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            if items.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            items.push(item);
        }
        items.shrink_to_fit();
        Ok(Few(items))
    }
}

/// A struct within another, which must be written as an object: a list would be taken for the
/// values of its keys, in their order, and no table of keys would see them.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// [`Object`] for the fields of public types.
pub(crate) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Object::deserialize(deserializer).map(|object| object.0)
}

/// [`Few`] of them for the fields of public types, which are plain lists.
pub(crate) fn objects<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let Few(objects) = Few::<Object<T>, MAX>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|object| object.0).collect())
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// An object of at most `MAX` values, by rising key; a key that comes twice is refused.
#[derive(Debug)]
pub(crate) struct Pairs<K, V, const MAX: usize>(pub(crate) Vec<(K, V)>);

impl<'de, K, V, const MAX: usize> Deserialize<'de> for Pairs<K, V, MAX>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}

struct PairsVisitor<K, V, const MAX: usize>(PhantomData<(K, V)>);

impl<'de, K, V, const MAX: usize> Visitor<'de> for PairsVisitor<K, V, MAX>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    type Value = Pairs<K, V, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of at most {MAX} values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs: Vec<(K, V)> = Vec::new();
        while let Some(pair) = map.next_entry()? {
            if pairs.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            pairs.push(pair);
        }
        pairs.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        match pairs.windows(2).find(|two| two[0].0 == two[1].0) {
            Some(twice) => Err(A::Error::custom(format_args!("key `{}` comes twice", twice[0].0))),
            None => Ok(Pairs(pairs)),
        }
    }
}
