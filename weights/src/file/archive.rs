//! One safetensors file: mapped, its header checked, its tensors found by name.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::file::header::{self, Entry, Header};
use crate::file::tensor::Tensor;
use crate::foreign::Foreign;
use crate::mmap::Mapped;

/// A mapped file whose header holds.
#[derive(Debug)]
pub(crate) struct Archive {
    path: PathBuf,
    content: Mapped,
    header: Header,
}

impl Archive {
    /// Maps the file and checks its header. Errors: unreadable, or not a sound safetensors file.
    pub(crate) fn open(path: PathBuf) -> Result<Self> {
        let content = Mapped::open(&path)?;
        let header = header::parse(&content, &path)
            .map_err(|fault| fault.foreign_or(&Foreign::Safetensors, &content))?;
        Ok(Self { path, content, header })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The whole file.
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    /// The tensors by rising name, of all element types.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.header.entries
    }

    /// This project's own document in the header.
    pub(crate) fn note(&self) -> Option<&str> {
        self.header.note.as_deref()
    }

    /// The tensor called `name`. Errors: not there, or not of floats.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        let entries = self.entries();
        match entries.binary_search_by(|entry| (*entry.name).cmp(name)) {
            Ok(place) => self.tensor_at(&entries[place]),
            Err(_) => {
                let names = entries.iter().map(|entry| &*entry.name);
                Err(super::nearest::not_found(&self.path, name, names))
            }
        }
    }

    /// The tensor of one of this file's entries. Error: not of floats.
    pub(crate) fn tensor_at<'a>(&'a self, entry: &'a Entry) -> Result<Tensor<'a>> {
        let data = &self.content[self.header.data_start..];
        let (start, end) = entry.span;
        Tensor::new(&self.path, entry, &data[start..end])
    }
}
