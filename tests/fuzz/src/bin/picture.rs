//! PNG, JPEG, WebP, BMP and GIF: what is accepted is a picture of a size that was allowed, and
//! costs memory by its pixels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant, tree};
use offramp_tools::readers;

/// Decoding larger ones takes longer, and no other code.
const SIDE_MAX: u32 = 96;
/// Decoders have tables, and hold a picture in several forms at once; one of WebP makes room for
/// a part of a picture, 16 MiB at most, before it reads it.
const HELD_MAX: usize = 24 << 20;

/// A picture of each form of each format.
fn seeds() -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(tree("tests/data/pictures")).expect("a folder of the tree");
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let is_picture = |end: &str| ["bmp", "gif", "jpg", "png", "webp"].contains(&end);
    paths.retain(|path| path.extension().and_then(|end| end.to_str()).is_some_and(is_picture));
    paths.iter().map(|path| std::fs::read(path).expect("a file of the tree")).collect()
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| bounded(HELD_MAX, || {
        let Ok(picture) = readers::picture(bytes, SIDE_MAX) else { return };
        let [height, width, channels] = picture.shape();
        assert!((1..=SIDE_MAX as usize).contains(&height));
        assert!((1..=SIDE_MAX as usize).contains(&width));
        assert_eq!(picture.pixels().len(), height * width * channels);
    })
);
