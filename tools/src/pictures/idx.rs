//! IDX files of bytes, as the MNIST family comes: images `[n, height, width]`, labels `[n]`, big
//! endian, often gzipped. (Y. LeCun, "THE MNIST DATABASE of handwritten digits".)

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use offramp::Picture;
use offramp::image::SIDE_MAX;

use super::Found;
use crate::failure::{Failure, Result};

const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Images of an IDX file, with the labels beside it.
pub(crate) struct Idx {
    images: Content,
    count: usize,
    done: usize,
    height: usize,
    width: usize,
    labels: Option<Vec<u8>>,
}

impl Idx {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut images = Content::open(path)?;
        images.expect_magic(IMAGES, "images")?;
        let [count, height, width] =
            [images.number()?, images.number()?, images.number()?].map(|n| n as usize);
        let sides = 1..=SIDE_MAX;
        if !sides.contains(&height) || !sides.contains(&width) {
            let found = format!("{height} x {width}");
            return Err(images.wrong(&format!("sides from 1 to {SIDE_MAX}"), &found));
        }
        let labels = labels_beside(path).map(|path| labels(&path, count)).transpose()?;
        Ok(Self { images, count, done: 0, height, width, labels })
    }

    pub(super) fn next(&mut self) -> Result<Option<Found>> {
        if self.done == self.count {
            self.images.expect_end()?;
            return Ok(None);
        }
        let mut pixels = vec![0; self.height * self.width];
        let what = format!("image {} of {}", self.done + 1, self.count);
        self.images.fill(&mut pixels, &what)?;
        let picture =
            Picture::new([self.height, self.width, 1], pixels).map_err(|error| error.to_string());
        let label = self.labels.as_ref().map(|labels| labels[self.done].to_string());
        self.done += 1;
        Ok(Some(Found { name: self.done.to_string(), picture, label }))
    }
}

/// `x-images-idx3-ubyte.gz` has its labels in `x-labels-idx1-ubyte.gz`.
fn labels_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    let path = path.with_file_name(&labels);
    (labels != name && path.exists()).then_some(path)
}

fn labels(path: &Path, count: usize) -> Result<Vec<u8>> {
    let mut content = Content::open(path)?;
    content.expect_magic(LABELS, "labels")?;
    let found = content.number()? as usize;
    if found != count {
        return Err(content.wrong(&format!("{count} labels, one an image"), &found.to_string()));
    }
    let mut labels = Vec::new();
    let read = (&mut content.from).take(count as u64 + 1).read_to_end(&mut labels);
    read.map_err(|source| Failure::io(path, "read", source))?;
    match labels.len() {
        found if found == count => Ok(labels),
        found => Err(content.wrong(&format!("{count} bytes of labels"), &found.to_string())),
    }
}

/// A file, unpacked where it is packed.
struct Content {
    path: PathBuf,
    from: Box<dyn Read>,
}

impl Content {
    fn open(path: &Path) -> Result<Self> {
        let failed = |source| Failure::io(path, "open", source);
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let is_packed = std::io::BufRead::fill_buf(&mut file).map_err(failed)?.starts_with(&GZIP);
        let from: Box<dyn Read> = match is_packed {
            true => Box::new(BufReader::new(MultiGzDecoder::new(file))),
            false => Box::new(file),
        };
        Ok(Self { path: path.to_owned(), from })
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<()> {
        self.from.read_exact(bytes).map_err(|source| match source.kind() {
            std::io::ErrorKind::UnexpectedEof => self.wrong(what, "the end of the file"),
            _ => Failure::io(&self.path, "read", source),
        })
    }

    fn number(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes, "a header")?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn expect_magic(&mut self, magic: u32, what: &str) -> Result<()> {
        let found = self.number()?;
        if found == magic {
            return Ok(());
        }
        let expected = format!(
            "an IDX file of {what} (it begins with {magic:#010x}), PNG, JPEG, a folder, or raw \
             bytes with --shape"
        );
        Err(self.wrong(&expected, &format!("{found:#010x}")))
    }

    fn expect_end(&mut self) -> Result<()> {
        let mut byte = [0];
        match self.from.read(&mut byte) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.wrong("the end after the last image", "more bytes")),
            Err(source) => Err(Failure::io(&self.path, "read", source)),
        }
    }

    fn wrong(&self, expected: &str, found: &str) -> Failure {
        Failure::Failed(format!("{}: expected {expected}, found {found}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idx(magic: u32, sizes: &[u32], bytes: usize) -> Vec<u8> {
        let mut file = magic.to_be_bytes().to_vec();
        sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.extend((0..bytes).map(|i| i as u8));
        file
    }

    fn read(images: &[u8], labels: Option<&[u8]>) -> Result<Vec<(Vec<u8>, Option<String>)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t-images-idx3-ubyte");
        std::fs::write(&path, images).unwrap();
        if let Some(labels) = labels {
            std::fs::write(dir.path().join("t-labels-idx1-ubyte"), labels).unwrap();
        }
        let mut idx = Idx::open(&path)?;
        let mut found = Vec::new();
        while let Some(Found { picture, label, .. }) = idx.next()? {
            found.push((picture.unwrap().pixels().to_vec(), label));
        }
        Ok(found)
    }

    #[test]
    fn images_come_with_the_labels_beside_them() {
        let (images, labels) = (idx(IMAGES, &[2, 1, 3], 6), idx(LABELS, &[2], 2));
        let label = |n: u8| Some(n.to_string());
        let expected = vec![(vec![0, 1, 2], label(0)), (vec![3, 4, 5], label(1))];
        assert_eq!(read(&images, Some(&labels)).unwrap(), expected);
        assert_eq!(read(&images, None).unwrap()[1], (vec![3, 4, 5], None));
    }

    #[test]
    fn damaged_files_are_named_with_what_is_wrong() {
        let good = idx(IMAGES, &[2, 1, 3], 6);
        type Case = (Vec<u8>, Option<Vec<u8>>, &'static str);
        let cases: [Case; 8] = [
            (vec![], None, "the end of the file"),
            (idx(0x0801, &[2, 1, 3], 6), None, "0x00000801"),
            (idx(IMAGES, &[2, 1, 3], 5), None, "image 2 of 2"),
            (idx(IMAGES, &[2, 1, 3], 7), None, "more bytes"),
            (idx(IMAGES, &[2, u32::MAX, u32::MAX], 6), None, "4294967295 x 4294967295"),
            (idx(IMAGES, &[u32::MAX, 1, 3], 6), None, "image 3 of 4294967295"),
            (good.clone(), Some(idx(LABELS, &[3], 3)), "2 labels"),
            (good, Some(idx(LABELS, &[2], 1)), "2 bytes of labels"),
        ];
        for (images, labels, expected) in cases {
            let message = read(&images, labels.as_deref()).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("t-"), "{message}");
        }
    }
}
