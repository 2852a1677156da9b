//! Pictures of one size as bytes, one after the other: `[n, height, width, channels]`.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use offramp::Picture;

use super::{Found, Name, PictureRules};
use crate::failure::{Failure, Result};

/// Pictures of a raw file.
pub(crate) struct Raw {
    path: PathBuf,
    from: BufReader<File>,
    shape: [usize; 3],
    done: u64,
    count: u64,
}

impl Raw {
    pub(super) fn open(path: &Path, shape: [usize; 3], rules: PictureRules) -> Result<Self> {
        let size = rules.check_size(shape[0], shape[1]);
        size.map_err(|error| Failure::Usage(format!("--shape: {error}")))?;
        let failed = |source| Failure::io(path, "open", source);
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let each: usize = shape.iter().copied().fold(1, usize::saturating_mul);
        if !bytes.is_multiple_of(each as u64) {
            let [height, width, channels] = shape;
            return Err(Failure::Failed(format!(
                "{}: expected pictures of {height} x {width} x {channels}, so a multiple of \
                 {each} bytes, found {bytes}",
                path.display()
            )));
        }
        let (from, count) = (BufReader::new(file), bytes / each as u64);
        Ok(Self { path: path.to_owned(), from, shape, done: 0, count })
    }

    pub(super) fn next(&mut self) -> Result<Option<Found>> {
        if self.done == self.count {
            return Ok(None);
        }
        let mut pixels = vec![0; self.shape.iter().product()];
        let read = self.from.read_exact(&mut pixels);
        read.map_err(|source| Failure::io(&self.path, "read", source))?;
        self.done += 1;
        let picture = Picture::new(self.shape, pixels).map_err(|error| error.to_string());
        Ok(Some(Found { name: Name::Number(self.done), picture, label: None }))
    }
}
