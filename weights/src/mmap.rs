//! A read-only file mapping: the only unsafe code of the crate.
#![expect(unsafe_code, reason = "mapping a file is unsafe: another process may change its bytes")]

use std::ops::Deref;
use std::path::Path;

use crate::disk::open_regular;
use crate::error::{Error, Result};

/// The bytes of a regular file, paged in on first touch.
#[derive(Debug)]
pub(crate) struct Mapped(memmap2::Mmap);

impl Mapped {
    /// Maps the whole file. Errors: absent, not a regular file, unreadable, not mappable.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let (file, _) = open_regular(path)?;
        // SAFETY: the mapping is private and read-only, and its bytes are only ever read as plain
        // numbers, for which every bit pattern is valid; they are checked after each read, never
        // trusted from an earlier one. What remains is a file truncated in place while it is
        // mapped, which ends the process (SIGBUS); the crate documentation forbids that, and every
        // writer of this crate replaces files by rename.
        let map = unsafe { memmap2::Mmap::map(&file) };
        map.map(Self).map_err(|source| Error::io(path, "map into memory", source))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
