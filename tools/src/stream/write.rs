//! A stream's files: packed IDX images and labels, and lines of JSON about its scenes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::failure::{Failure, Result};
use crate::out::Aside;
use crate::pictures::{IMAGES, LABELS};

/// Where the files of a stream are.
pub(super) struct Paths {
    pub(super) images: PathBuf,
    pub(super) labels: PathBuf,
    pub(super) scenes: PathBuf,
}

impl Paths {
    /// Names that begin with `prefix`.
    pub(super) fn new(prefix: &Path) -> Self {
        let path = |end: &str| {
            let mut name = prefix.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        Self {
            images: path("-images-idx3-ubyte.gz"),
            labels: path("-labels-idx1-ubyte.gz"),
            scenes: path("-scenes.jsonl"),
        }
    }
}

/// Images and labels on their way to their files, which appear at the end.
pub(super) struct Idx {
    images: Packed,
    labels: Packed,
}

impl Idx {
    pub(super) fn create(paths: &Paths, frames: u32, sides: [usize; 2]) -> Result<Self> {
        let [height, width] = sides.map(|side| side as u32);
        let mut images = Packed::create(&paths.images)?;
        images.numbers(&[IMAGES, frames, height, width])?;
        let mut labels = Packed::create(&paths.labels)?;
        labels.numbers(&[LABELS, frames])?;
        Ok(Self { images, labels })
    }

    pub(super) fn add(&mut self, pixels: &[u8], label: u8) -> Result<()> {
        self.images.bytes(pixels)?;
        self.labels.bytes(&[label])
    }

    pub(super) fn finish(self) -> Result<()> {
        self.images.finish()?;
        self.labels.finish()
    }
}

/// A file that is packed beside its place and moved there when it is whole.
struct Packed {
    path: PathBuf,
    aside: Option<Aside>,
    to: GzEncoder<BufWriter<File>>,
}

impl Packed {
    fn create(path: &Path) -> Result<Self> {
        let aside = Aside::of(path)?;
        let at = aside.as_ref().map_or(path, |aside| &aside.path);
        let file = File::create(at).map_err(|source| Failure::io(path, "create", source))?;
        // No time of day in it: the same stream is the same file.
        let to = GzBuilder::new().mtime(0).write(BufWriter::new(file), Compression::default());
        Ok(Self { path: path.to_owned(), aside, to })
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(|source| Failure::io(&self.path, "write", source))
    }

    fn numbers(&mut self, numbers: &[u32]) -> Result<()> {
        numbers.iter().try_for_each(|number| self.bytes(&number.to_be_bytes()))
    }

    fn finish(self) -> Result<()> {
        let Self { path, aside, to } = self;
        let written = to.finish().and_then(|mut file| file.flush());
        let done = written.and_then(|()| aside.map_or(Ok(()), |aside| aside.put()));
        done.map_err(|source| Failure::io(&path, "write", source))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_are_not_finished_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::new(&dir.path().join("deep/s"));
        let count = || fs::read_dir(dir.path().join("deep")).unwrap().count();
        let mut idx = Idx::create(&paths, 2, [1, 1]).unwrap();
        idx.add(&[3], 1).unwrap();
        assert_eq!(count(), 2);
        drop(idx);
        assert_eq!(count(), 0);
        Idx::create(&paths, 0, [1, 1]).unwrap().finish().unwrap();
        assert!(paths.images.exists() && paths.labels.exists());
        assert_eq!(count(), 2);
    }
}
