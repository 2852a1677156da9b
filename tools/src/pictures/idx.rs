//! IDX files of bytes, as the MNIST family comes: images `[n, height, width]`, labels `[n]`, big
//! endian, often gzipped. (Y. LeCun, "THE MNIST DATABASE of handwritten digits".)

use std::path::Path;

use offramp::Picture;

use super::content::Content;
use super::{Class, Found, Name, PictureRules, labels};
use crate::failure::Result;

/// What the file begins with.
pub(crate) const IMAGES: u32 = 0x0803;

const EXPECTED: &str = "an IDX file of images (it begins with 0x00000803), JPEG, PNG, GIF, BMP, \
                        WebP, a folder, or raw bytes with --shape";

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
    pub(super) fn open(path: &Path, rules: &PictureRules) -> Result<Self> {
        let labels = labels::beside(path).map(|path| Content::open(&path)).transpose()?;
        Self::new(Content::open(path)?, labels, rules)
    }

    /// Of files that are open: images, and their labels where there are some.
    pub(crate) fn new(
        mut images: Content,
        labels: Option<Content>,
        rules: &PictureRules,
    ) -> Result<Self> {
        let magic = images.number()?;
        if magic != IMAGES {
            return Err(images.wrong(EXPECTED, &format!("{magic:#010x}")));
        }
        let [count, height, width] =
            [images.number()?, images.number()?, images.number()?].map(|n| n as usize);
        rules.check_size(height, width).map_err(|error| images.complaint(&error))?;
        let labels = labels.map(|labels| labels::idx(labels, count)).transpose()?;
        Ok(Self { images, count, done: 0, height, width, labels })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Found>> {
        if self.done == self.count {
            self.images.expect_end("image")?;
            return Ok(None);
        }
        let what = format!("image {} of {}", self.done + 1, self.count);
        let pixels = self.images.bytes(self.height * self.width, &what)?;
        let picture =
            Picture::new([self.height, self.width, 1], pixels).map_err(|error| error.to_string());
        let label = self.labels.as_ref().map(|labels| Class::Number(labels[self.done]));
        self.done += 1;
        Ok(Some(Found { name: Name::Number(self.done as u64), picture, label }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::super::labels::LABELS;
    use super::*;

    fn idx(magic: u32, sizes: &[u32], bytes: usize) -> Vec<u8> {
        let mut file = magic.to_be_bytes().to_vec();
        sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
        file.extend((0..bytes).map(|i| i as u8));
        file
    }

    fn read(images: &[u8], labels: Option<&[u8]>) -> Result<Vec<(Vec<u8>, Option<Class>)>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t-images-idx3-ubyte");
        std::fs::write(&path, images).unwrap();
        if let Some(labels) = labels {
            std::fs::write(dir.path().join("t-labels-idx1-ubyte"), labels).unwrap();
        }
        let mut idx = Idx::open(&path, &PictureRules::default())?;
        let mut found = Vec::new();
        while let Some(Found { picture, label, .. }) = idx.next()? {
            found.push((picture.unwrap().pixels().to_vec(), label));
        }
        Ok(found)
    }

    #[test]
    fn images_come_with_the_labels_beside_them() {
        let (images, labels) = (idx(IMAGES, &[2, 1, 3], 6), idx(LABELS, &[2], 2));
        let label = |n: u8| Some(Class::Number(n));
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

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn damage_to_packed_files_is_found() {
        let good = packed(&idx(IMAGES, &[2, 1, 3], 6));
        assert_eq!(read(&good, None).unwrap().len(), 2);
        for end in 2..good.len() {
            assert!(read(&good[..end], None).is_err(), "cut to {end} bytes");
        }
        // The header's flags and dates do not matter; everything behind them is summed up.
        for at in 10..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(read(&bad, None).is_err(), "byte {at}");
        }
    }

    #[test]
    fn whatever_the_bytes_nothing_panics_and_the_file_is_named() {
        let mut rng = fastrand::Rng::with_seed(7);
        let (images, labels) = (idx(IMAGES, &[3, 2, 2], 12), idx(LABELS, &[3], 3));
        for _ in 0..2_000 {
            let [mut images, mut labels] = [images.clone(), labels.clone()];
            for bytes in [&mut images, &mut labels] {
                for _ in 0..rng.usize(0..3) {
                    let at = rng.usize(0..bytes.len());
                    bytes[at] = rng.u8(..);
                }
                bytes.truncate(rng.usize(bytes.len() / 2..bytes.len() * 3));
            }
            match read(&images, Some(&labels)) {
                Ok(found) => assert_eq!(u32::from(images[7]), found.len() as u32),
                Err(error) => assert!(error.to_string().contains("ubyte"), "{error}"),
            }
        }
    }
}
