//! What a model folder holds, file by file: enough to say later which of them have changed.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use crate::disk::{absent, is_there, open_regular};
use crate::error::{Error, Result};
use crate::file::{INDEX_FILE, weight_files};
use crate::folder::{CONFIG_FILE, PREPROCESSOR_FILE};

/// Files beside the weights that say how inputs are read and what is computed.
pub const FILES: [&str; 7] = [
    CONFIG_FILE,
    PREPROCESSOR_FILE,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    INDEX_FILE,
];
/// Hexadecimal digits of a file's hash in a message.
const SHORT_DIGITS: usize = 8;

/// The files of a folder by what is in them, those that offramp adds aside.
///
/// ```
/// use offramp_weights::Identity;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// # std::fs::write(dir.join("config.json"), "{}")?;
/// # std::fs::write(dir.join("model.safetensors"), [0; 16])?;
/// let before = Identity::read(dir)?;
/// std::fs::write(dir.join("tokenizer.json"), "{}")?;
/// let changes = before.changes(&Identity::read(dir)?);
/// assert_eq!(changes, ["tokenizer.json is new"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Vec<(Box<str>, blake3::Hash)>);

/// How its files look from outside: whether one was written since can be told without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamps(Vec<(Box<str>, u64, Option<SystemTime>)>);

impl Identity {
    /// Reads every file once, without mapping it: a file may be written all the while.
    ///
    /// # Errors
    /// There are no weights, or a file cannot be read.
    pub fn read(dir: &Path) -> Result<Self> {
        let hashed = |name: Box<str>| {
            let hash = hash(&dir.join(&*name))?;
            Ok((name, hash))
        };
        present(dir)?.into_iter().map(hashed).collect::<Result<_>>().map(Self)
    }

    /// What is different in `other`, a few words for each file.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let find = |of: &Self, name: &str| {
            of.0.iter().find(|(own, _)| **own == *name).map(|(_, hash)| *hash)
        };
        let kept = self.0.iter().filter_map(|(name, before)| match find(other, name) {
            None => Some(format!("{name} is gone")),
            Some(now) if now != *before => {
                Some(format!("{name} has changed ({} -> {})", Short(before), Short(&now)))
            }
            Some(_) => None,
        });
        let is_new = |(name, _): &&(Box<str>, _)| find(self, name).is_none();
        let new = other.0.iter().filter(is_new).map(|(name, _)| format!("{name} is new"));
        kept.chain(new).collect()
    }
}

impl Stamps {
    /// Looks at every file.
    ///
    /// # Errors
    /// There are no weights, or a file cannot be looked at.
    pub fn look(dir: &Path) -> Result<Self> {
        let stamp = |name: Box<str>| {
            let path = dir.join(&*name);
            let about = fs::metadata(&path).map_err(|source| absent(&path, source))?;
            Ok((name, about.len(), about.modified().ok()))
        };
        present(dir)?.into_iter().map(stamp).collect::<Result<_>>().map(Self)
    }
}

/// The names of those that are there.
fn present(dir: &Path) -> Result<Vec<Box<str>>> {
    let (weights, _) = weight_files(dir)?;
    let beside = FILES.into_iter().filter(|name| is_there(&dir.join(name)));
    Ok(beside.map(Into::into).chain(weights).collect())
}

fn hash(path: &Path) -> Result<blake3::Hash> {
    let (file, _) = open_regular(path)?;
    let mut hasher = blake3::Hasher::new();
    let read = io::copy(&mut io::BufReader::new(file), &mut hasher);
    read.map(|_| hasher.finalize()).map_err(|source| Error::io(path, "read", source))
}

struct Short<'a>(&'a blake3::Hash);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_hex()[..SHORT_DIGITS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_changes_is_named_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let write = |name: &str, content: &str| fs::write(dir.join(name), content).unwrap();
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            write(name, "as it was");
        }
        let before = Identity::read(dir).unwrap();
        write("ramps.safetensors", "ours");
        write("thresholds.json", "ours");
        write("notes.txt", "nobody's");
        assert_eq!(before.changes(&Identity::read(dir).unwrap()), Vec::<String>::new());
        for (name, content, expected) in [
            ("config.json", "otherwise", "config.json has changed ("),
            ("model.safetensors", "as it waz", "model.safetensors has changed ("),
            ("tokenizer_config.json", "{}", "tokenizer_config.json is new"),
            ("preprocessor_config.json", "{}", "preprocessor_config.json is new"),
        ] {
            let before = Identity::read(dir).unwrap();
            write(name, content);
            let changes = before.changes(&Identity::read(dir).unwrap());
            assert!(changes.len() == 1 && changes[0].starts_with(expected), "{changes:?}");
        }
        let before = Identity::read(dir).unwrap();
        fs::remove_file(dir.join("tokenizer.json")).unwrap();
        assert_eq!(before.changes(&Identity::read(dir).unwrap()), ["tokenizer.json is gone"]);
    }

    #[test]
    fn stamps_tell_of_a_file_that_was_written_or_has_come() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::write(dir.join("model.safetensors"), "weights").unwrap();
        let before = Stamps::look(dir).unwrap();
        assert_eq!(before, Stamps::look(dir).unwrap());
        fs::write(dir.join("model.safetensors"), "more weights").unwrap();
        let after = Stamps::look(dir).unwrap();
        assert_ne!(before, after);
        fs::write(dir.join("config.json"), "{}").unwrap();
        assert_ne!(after, Stamps::look(dir).unwrap());
        fs::remove_file(dir.join("model.safetensors")).unwrap();
        assert!(Stamps::look(dir).unwrap_err().to_string().contains("model.safetensors"));
    }
}
