//! IDX files of images with their labels, gzipped or not: what is accepted is all there.
#![no_main]

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant, tree};
use offramp_tools::readers;

/// A packed byte unpacks to 1,032 at most; each is held twice while it is read.
const GROWTH: usize = 2 * 1032;

/// Images of so many bytes come first, then their labels; all ones: there are no labels.
fn split(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = u16::from_le_bytes(*length);
    match length {
        u16::MAX => Some((rest, None)),
        _ => rest
            .split_at_checked(usize::from(length))
            .map(|(images, labels)| (images, Some(labels))),
    }
}

/// The first shipped images, cut to a few rows each, with their labels; packed and not.
fn seeds() -> Vec<Vec<u8>> {
    const HEIGHT: u8 = 3;
    let shipped = |name: &str, length: usize| {
        let file = std::fs::File::open(tree("tools/models/fashion-mnist").join(name));
        let mut bytes = vec![0; length];
        GzDecoder::new(file.expect("a shipped file")).read_exact(&mut bytes).expect("long enough");
        bytes
    };
    let number = |number: u8| [0, 0, 0, number];
    let (images, labels) =
        (shipped("test-images-idx3-ubyte.gz", 500), shipped("test-labels-idx1-ubyte.gz", 10));
    let header = [&images[..4], &number(2), &number(HEIGHT), &images[12..16]].concat();
    let images = [&header[..], &images[16..16 + 2 * usize::from(HEIGHT) * 28]].concat();
    let labels = [&labels[..4], &number(2), &labels[8..10]].concat();
    let packed = |bytes: &[u8]| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(bytes).expect("in memory");
        packer.finish().expect("in memory")
    };
    let pair = |images: &[u8], labels: &[u8]| {
        [&(images.len() as u16).to_le_bytes()[..], images, labels].concat()
    };
    let none = u16::MAX.to_le_bytes();
    vec![
        pair(&images, &labels),
        pair(&packed(&images), &packed(&labels)),
        [&none[..], &images].concat(),
        [&none[..], &packed(&images)].concat(),
    ]
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| bounded(GROWTH * bytes.len() + (1 << 20), || {
        let Some((images, labels)) = split(bytes) else { return };
        let Ok(found) = readers::idx(images.to_vec(), labels.map(<[u8]>::to_vec)) else { return };
        assert!(found.iter().all(|(_, label)| label.is_some() == labels.is_some()));
        let pixels: usize = found.iter().map(|(picture, _)| picture.pixels().len()).sum();
        if images.starts_with(&[0, 0, 8, 3]) {
            assert_eq!(16 + pixels, images.len());
        }
    })
);
