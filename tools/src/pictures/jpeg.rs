//! JPEG, by a decoder that takes the end of the file for damage and not for the end of the picture,
//! behind a check that takes any other end for damage too.

mod blocks;
mod codes;
mod frame;
mod standard;
mod stop;
mod walk;

use std::io::ErrorKind;

use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, Error, PixelFormat};

use super::decoded::{CUT, Decoded};
use super::rules::PictureRules;

/// The picture of a whole file.
pub(super) fn decode(bytes: &[u8], rules: &PictureRules) -> Result<Decoded, String> {
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(|error| told(&error))?;
    let info = decoder.info().ok_or("no size")?;
    let (height, width) = (info.height, info.width);
    rules.check_size(usize::from(height), usize::from(width))?;
    walk::check(bytes, [usize::from(width), usize::from(height)])?;
    let pixels = decoder.decode().map_err(|error| told(&error))?;
    let (width, height) = (u32::from(width), u32::from(height));
    let grey = |pixels| GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8);
    let colours = |pixels| RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8);
    let picture = match info.pixel_format {
        PixelFormat::L8 => grey(pixels),
        PixelFormat::L16 => return Err("expected 8 bits a sample, found more".to_owned()),
        PixelFormat::RGB24 => colours(pixels),
        PixelFormat::CMYK32 => colours(from_inks(pixels)),
    };
    let picture = picture.ok_or("fewer pixels than the size says")?;
    let orientation = rules.orientation(decoder.exif_data(), decoder.xmp_data());
    Ok(Decoded { picture, orientation })
}

fn told(error: &Error) -> String {
    match error {
        Error::Io(source) if source.kind() == ErrorKind::UnexpectedEof => CUT.to_owned(),
        Error::Unsupported(_) => error.to_string(),
        other => format!("damaged JPEG: {other}"),
    }
}

/// Cyan, magenta, yellow and black to red, green and blue, in place and as Pillow does it.
fn from_inks(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for at in 0..count {
        let light = 255 - u32::from(pixels[4 * at + 3]);
        for channel in 0..3 {
            let product = u32::from(pixels[4 * at + channel]) * light + 128;
            let dimmed = ((product >> 8) + product) >> 8;
            pixels[3 * at + channel] = (light - dimmed.min(light)) as u8;
        }
    }
    pixels.truncate(3 * count);
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Vec<u8> {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/pictures");
        std::fs::read(format!("{data}/{name}")).unwrap()
    }

    /// The file from marker to marker; codes are behind the header of their scan.
    fn segments(bytes: &[u8]) -> Vec<&[u8]> {
        let is_marker = |pair: &[u8]| pair[0] == 0xff && matches!(pair[1], 0xc0..=0xcf | 0xd8..);
        let places = 0..bytes.len() - 1;
        let mut ends: Vec<_> = places.filter(|at| is_marker(&bytes[*at..at + 2])).collect();
        ends.push(bytes.len());
        ends.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
    }

    fn error(bytes: &[u8]) -> String {
        decode(bytes, &PictureRules::default()).map(drop).unwrap_err()
    }

    #[test]
    fn frames_of_films_have_the_standard_tables_and_are_checked_too() {
        let whole = known("baseline.jpg");
        let mut bare = segments(&whole);
        bare.retain(|it| !matches!(it[1], 0xc4 | 0xe0));
        assert!(error(&bare.concat()).contains("a scan without its Huffman table"));
        bare.insert(1, b"\xff\xe0\0\x10AVI1\0\0\0\0\0\0\0\0\0\0");
        let film = bare.concat();
        let rules = PictureRules::default();
        let [found, expected] = [&film, &whole].map(|it| decode(it, &rules).unwrap().picture);
        assert_eq!(found.as_bytes(), expected.as_bytes());
        let codes = bare.iter().find(|it| it[1] == 0xda).unwrap().len();
        for end in film.len() - codes..film.len() - 2 {
            let closed = [&film[..end], b"\xff\xd9"].concat();
            assert!(decode(&closed, &rules).is_err(), "{end} of {}", film.len());
        }
    }

    /// A grey block of nothing: a scan for each coefficient, and one more for each further bit.
    fn in_scans(bits: u8) -> Vec<u8> {
        let table = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 16]].concat();
        let mut bytes = [&b"\xff\xd8\xff\xdb\0\x43\0"[..], &[1; 64]].concat();
        bytes.extend(b"\xff\xc2\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0");
        bytes.extend([table(0), table(0x10)].concat());
        for first in 0..64 {
            for low in (0..bits).rev() {
                let high = if low + 1 == bits { 0 } else { low + 1 };
                // One code of one bit, then ones to the end of the byte.
                bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, first, first, high << 4 | low, 0x7f]);
            }
        }
        bytes.extend(b"\xff\xd9");
        bytes
    }

    #[test]
    fn more_scans_than_a_picture_needs_are_refused() {
        let picture = decode(&in_scans(1), &PictureRules::default()).unwrap().picture;
        assert!(picture.as_bytes().iter().all(|level| *level == 128));
        assert!(error(&in_scans(2)).contains("over 100 scans"));
    }

    /// Such a picture may lack all of its data, and some decoders make one of it all the same.
    #[test]
    fn processes_that_are_not_checked_are_refused_by_name() {
        for (frame, name) in [(0xc3, "lossless"), (0xc9, ""), (0xc6, ""), (0xcf, "")] {
            let table = [&[0xff, 0xc4, 0, 20, 0, 1][..], &[0; 16]].concat();
            let head = [0xff, frame, 0, 11, 8, 0, 28, 0, 28, 1, 1, 0x11, 0];
            let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 1, 0, 0, 0xff, 0xd9];
            let told = error(&[&[0xff, 0xd8][..], &table, &head, &scan].concat());
            assert!(told.contains(name), "{told}");
        }
    }

    #[test]
    fn scans_that_come_twice_or_too_early_are_refused() {
        for name in ["baseline.jpg", "progressive.jpg"] {
            let whole = known(name);
            let all = segments(&whole);
            for place in (0..all.len()).filter(|at| all[*at][1] == 0xda) {
                let twice = [&all[..=place], &all[place..]].concat().concat();
                assert!(error(&twice).contains("a scan out of turn"), "{name}: {place}");
            }
        }
        let whole = known("progressive.jpg");
        let mut less = segments(&whole);
        // The bit of the light that is the last but one.
        let second = [0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0x21];
        less.retain(|it| !it.starts_with(&second));
        assert!(error(&less.concat()).contains("a scan out of turn"));
    }
}
