//! Opening regular files, reading small ones whole, replacing one atomically.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

/// Whether there is an entry of that name, be it a link that leads nowhere: such a file was meant
/// to be read, and reading it tells what is wrong.
pub fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Opens a regular file and says how long it is, bytes. A pipe or a device is refused unopened,
/// since opening one may block for ever.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let about = fs::metadata(path).map_err(|source| absent(path, source))?;
    if !about.is_file() {
        return Err(Error::damaged(path, "not a regular file"));
    }
    let file = File::open(path).map_err(|source| Error::io(path, "open", source))?;
    Ok((file, about.len()))
}

/// Why a file cannot be opened or looked at.
pub(crate) fn absent(path: &Path, source: io::Error) -> Error {
    if source.kind() != io::ErrorKind::NotFound {
        return Error::io(path, "open", source);
    }
    let expected = path.file_name().unwrap_or_default().to_string_lossy();
    let expected = format!("a file named {expected}");
    // As in a cache whose blobs were moved or deleted.
    let found = match path.is_symlink() {
        true => "it is a link that leads nowhere",
        false => "there is none",
    };
    Error::Missing { file: path.into(), expected, found: found.into() }
}

/// The whole file, when it is at most `max_bytes` long.
pub(crate) fn read_whole(path: &Path, max_bytes: u64) -> Result<Vec<u8>> {
    let (file, bytes) = open_regular(path)?;
    if bytes > max_bytes {
        let what = format!("{bytes} bytes long, of at most {max_bytes}");
        return Err(Error::damaged(path, what));
    }
    // One byte of spare room lets the reader see the end without growing the buffer.
    let mut content = Vec::with_capacity(bytes as usize + 1);
    // A file that grows meanwhile is cut, and then fails as JSON.
    file.take(bytes).read_to_end(&mut content).map_err(|source| Error::io(path, "read", source))?;
    Ok(content)
}

/// Replaces `path` by `content`: a reader sees the old file or the new one, never a part.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    write_atomically_with(path, |aside| fs::write(aside, content))
}

/// Replaces `path` by the file that `write` makes beside it. A link stays a link, and what is no
/// file, as a device is, is left.
pub(crate) fn write_atomically_with(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<()> {
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if path.exists() && !path.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "expected a file to replace");
        return Err(Error::io(path, "write", source));
    }
    let aside = aside(path);
    let done = write_synced(&aside, write).and_then(|()| fs::rename(&aside, path));
    done.map_err(|source| {
        // Best effort: the write's own error is the one worth telling.
        let _ = fs::remove_file(&aside);
        Error::io(path, "write", source)
    })
}

fn write_synced(aside: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    // Made first for its permissions: a writer may replace it by a temporary file of its own,
    // which nobody else can read.
    let usual = File::create_new(aside)?.metadata()?.permissions();
    write(aside)?;
    fs::set_permissions(aside, usual)?;
    File::open(aside)?.sync_all()
}

/// A name beside `path` that no other writer uses: a rename is atomic only within a file system.
fn aside(path: &Path) -> PathBuf {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()))
}
