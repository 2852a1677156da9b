//! PNG, JPEG, WebP, BMP and GIF: what is accepted is a picture of the size that was allowed, and
//! costs memory by its pixels.
#![no_main]

use std::io::Cursor;

use image::{DynamicImage, ExtendedColorType, ImageFormat, RgbImage};
use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant};
use offramp_tools::readers;

/// Decoding larger ones takes longer, and no other code.
const SIDE_MAX: u32 = 96;
/// Decoders have tables, and hold a picture in several forms at once.
const HELD_MAX: usize = 4 << 20;

/// A picture in every format, in grey and in colours.
fn seeds() -> Vec<Vec<u8>> {
    let colours = RgbImage::from_fn(9, 7, |x, y| image::Rgb([(x * 25) as u8, (y * 30) as u8, 99]));
    let colours = DynamicImage::from(colours);
    let pictures = [colours.clone(), colours.to_luma8().into(), colours.to_rgba8().into()];
    let mut seeds = Vec::new();
    for picture in pictures {
        let has_alpha = picture.color().has_alpha();
        for format in [
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Bmp,
            ImageFormat::Gif,
        ] {
            // Neither takes grey or an alpha channel as it is.
            let fitting = match (format, has_alpha) {
                (ImageFormat::Jpeg, true) => continue,
                (ImageFormat::Gif, _) => DynamicImage::from(picture.to_rgba8()),
                _ => picture.clone(),
            };
            let mut bytes = Cursor::new(Vec::new());
            fitting.write_to(&mut bytes, format).expect("a picture can be written");
            seeds.push(bytes.into_inner());
        }
    }
    seeds.push(sixteen_bits());
    seeds
}

fn sixteen_bits() -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    let pixels: Vec<u8> = (0..2 * 5 * 4).collect();
    image::ImageEncoder::write_image(encoder, &pixels, 5, 4, ExtendedColorType::L16)
        .expect("a picture can be written");
    bytes
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
