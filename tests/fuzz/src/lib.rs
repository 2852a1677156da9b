//! What the targets share: where inputs begin, a folder in memory, a bound on memory.
//!
//! Each file of `src/bin` is a target: one reader of something that a stranger may bring. It says
//! more than "no panic": what is accepted must be usable, and is held against what was given.

#[path = "../../../weights/tests/hostile/alloc.rs"]
mod alloc;
mod seeds;
pub mod tiny;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

pub use seeds::{header, plant, tree, under};

/// Where [`folder`] lies; `cargo xtask fuzz` sets it, and clears up behind the target.
const FOLDER: &str = "OFFRAMP_FUZZ_FOLDER";

/// Runs `f`; it must not hold more than `bytes_max` at once.
pub fn bounded<T>(bytes_max: usize, f: impl FnOnce() -> T) -> T {
    let (value, peak) = alloc::peak(f);
    assert!(peak <= bytes_max, "held {peak} bytes at once, at most {bytes_max} are expected");
    value
}

/// A folder of this target's own, in memory where the system has one: readers of paths are given
/// millions of files.
pub fn folder() -> PathBuf {
    let dir = std::env::var_os(FOLDER).map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| std::env::temp_dir().join("offramp-fuzz"));
    std::fs::create_dir_all(&dir).expect("a folder can be made");
    dir
}

/// A file that is written over and over.
pub struct Rewritten {
    path: PathBuf,
    file: Mutex<File>,
}

impl Rewritten {
    /// Makes the file `name` in `dir`.
    pub fn new(dir: &Path, name: &str) -> Self {
        let path = dir.join(name);
        let open = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
        Self { path, file: Mutex::new(open.expect("a file can be made")) }
    }

    /// Its place.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces its content by `bytes` and so many zeros.
    pub fn put(&self, bytes: &[u8], zeros: usize) {
        let file = self.file.lock().expect("one thread");
        let length = bytes.len() as u64;
        let written = file
            .set_len(length)
            .and_then(|()| file.write_all_at(bytes, 0))
            .and_then(|()| if zeros > 0 { file.set_len(length + zeros as u64) } else { Ok(()) });
        written.expect("a file in memory can be written");
    }
}

/// Whether to go on with `bytes` that were read: about one in `share`, the same ones each time. To
/// replace a file, say, takes far longer than to read one.
pub fn is_drawn(bytes: &[u8], share: u8) -> bool {
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte));
    sum.is_multiple_of(share)
}

/// Bytes of a file of weights and, in the last two, how many zeros follow as its data: values are
/// not what such a reader trips over.
pub fn with_data(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (head, data) = bytes.split_last_chunk::<2>()?;
    Some((head, usize::from(u16::from_le_bytes(*data))))
}
