//! One file to a picture.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read as _};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use offramp::Picture;

use super::decoded::{CUT, Decoded};
use super::kind::{FORMATS, Kind, other};
use super::rules::PictureRules;
use super::{jpeg, whole};

/// Reads a file, whatever the end of its name says it is.
pub(super) fn decode_file(path: &Path, rules: &PictureRules) -> Result<Picture, String> {
    let named = |error: String| format!("{}: {error}", path.display());
    decode(&read(path, rules).map_err(named)?, rules).map_err(named)
}

fn read(path: &Path, rules: &PictureRules) -> Result<Vec<u8>, String> {
    let most = rules.file_bytes_max();
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot open: {error}"))?;
    let read = file.take(most + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| format!("cannot read: {error}"))?;
    match read as u64 > most {
        true => Err(format!("more than {most} bytes: --pixels-max raises the limit")),
        false => Ok(bytes),
    }
}

/// The picture in the bytes of a file.
pub(crate) fn decode(bytes: &[u8], rules: &PictureRules) -> Result<Picture, String> {
    let kind = Kind::of(bytes).ok_or_else(|| {
        let found = other(bytes).unwrap_or("something else");
        format!("expected {FORMATS}, found {found}")
    })?;
    whole::check(kind, bytes)?;
    let decoded = match kind {
        Kind::Jpeg => jpeg::decode(bytes, rules)?,
        Kind::Png => coded(bytes, ImageFormat::Png, rules)?,
        Kind::Gif => coded(bytes, ImageFormat::Gif, rules)?,
        Kind::Bmp => coded(bytes, ImageFormat::Bmp, rules)?,
        Kind::WebP => coded(bytes, ImageFormat::WebP, rules)?,
    };
    upright(decoded)
}

/// What the `image` crate decodes.
fn coded(bytes: &[u8], format: ImageFormat, rules: &PictureRules) -> Result<Decoded, String> {
    let mut limits = Limits::default();
    limits.max_alloc = Some(rules.file_bytes_max());
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| told(&error))?;
    let (width, height) = decoder.dimensions();
    rules.check_size(height as usize, width as usize)?;
    let exif = decoder.exif_metadata().unwrap_or_default();
    let xmp = decoder.xmp_metadata().unwrap_or_default();
    let orientation = rules.orientation(exif.as_deref(), xmp.as_deref());
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| told(&error))?;
    Ok(Decoded { picture: of_bytes(picture), orientation })
}

fn told(error: &ImageError) -> String {
    match error {
        ImageError::IoError(source) if source.kind() == ErrorKind::UnexpectedEof => CUT.to_owned(),
        other => other.to_string(),
    }
}

/// 8 bits and no alpha channel. As in Pillow's conversion, alpha is dropped and not mixed with a
/// ground, and 16 bits lose the lower 8.
fn of_bytes(picture: DynamicImage) -> DynamicImage {
    use DynamicImage::{ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16};
    use DynamicImage::{ImageRgb8, ImageRgb16, ImageRgba8, ImageRgba16};
    let (width, height) = (picture.width(), picture.height());
    let grey = |pixels| image::GrayImage::from_raw(width, height, pixels).map(ImageLuma8);
    let colours = |pixels| image::RgbImage::from_raw(width, height, pixels).map(ImageRgb8);
    let made = match picture {
        ImageLumaA8(picture) => grey(without_alpha(picture.into_raw(), 2)),
        ImageRgba8(picture) => colours(without_alpha(picture.into_raw(), 4)),
        ImageLuma16(picture) => grey(high_bytes(picture.into_raw())),
        ImageRgb16(picture) => colours(high_bytes(picture.into_raw())),
        ImageLumaA16(picture) => grey(without_alpha(high_bytes(picture.into_raw()), 2)),
        ImageRgba16(picture) => colours(without_alpha(high_bytes(picture.into_raw()), 4)),
        ImageLuma8(_) | ImageRgb8(_) => Some(picture),
        other => Some(ImageRgb8(other.into_rgb8())),
    };
    made.unwrap_or_default()
}

/// Drops the last of so many channels, in place.
fn without_alpha(mut pixels: Vec<u8>, channels: usize) -> Vec<u8> {
    let (count, kept) = (pixels.len() / channels, channels - 1);
    for at in 0..count {
        pixels.copy_within(at * channels..at * channels + kept, at * kept);
    }
    pixels.truncate(count * kept);
    pixels
}

/// 16 bits to the upper 8 of them.
fn high_bytes(values: impl IntoIterator<Item = u16>) -> Vec<u8> {
    values.into_iter().map(|value| (value >> 8) as u8).collect()
}

/// Turned as it wants to be.
fn upright(decoded: Decoded) -> Result<Picture, String> {
    let Decoded { mut picture, orientation } = decoded;
    picture.apply_orientation(orientation);
    let [height, width] = [picture.height() as usize, picture.width() as usize];
    let (channels, pixels) = match picture {
        DynamicImage::ImageLuma8(picture) => (1, picture.into_raw()),
        other => (3, other.into_rgb8().into_raw()),
    };
    Picture::new([height, width, channels], pixels).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/pictures");

    /// Pictures with what Pillow makes of them: channels and pixels. `make.py` beside them tells.
    fn known() -> Vec<(PathBuf, usize, Vec<u8>)> {
        let entries = std::fs::read_dir(DATA).unwrap().map(|entry| entry.unwrap().path());
        let mut known: Vec<_> = entries
            .filter_map(|path| {
                let channels = match path.extension()?.to_str()? {
                    "grey" => 1,
                    "rgb" => 3,
                    _ => return None,
                };
                Some((path.with_extension(""), channels, std::fs::read(&path).unwrap()))
            })
            .collect();
        known.sort();
        assert!(known.len() >= 30, "{}", known.len());
        known
    }

    /// Furthest that a pixel may be off: transforms of JPEG and lossy WebP may round otherwise.
    fn tolerance(path: &Path) -> u8 {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".jpg") || name.starts_with("lossy") { 4 } else { 0 }
    }

    #[test]
    fn pixels_are_those_of_pillow() {
        for (path, channels, expected) in known() {
            let picture = decode_file(&path, &PictureRules::default()).unwrap();
            assert_eq!(picture.shape()[2], channels, "{}", path.display());
            assert_eq!(picture.pixels().len(), expected.len(), "{}", path.display());
            let pairs = picture.pixels().iter().zip(&expected);
            let off = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(off <= tolerance(&path), "{}: {off}", path.display());
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_is_no_picture() {
        for (path, ..) in known() {
            let whole = std::fs::read(&path).unwrap();
            for end in 0..whole.len() {
                let found = decode(&whole[..end], &PictureRules::default());
                assert!(found.is_err(), "{}: {end} of {} bytes", path.display(), whole.len());
            }
            let more = [&whole[..], b"trailing bytes \xff\xd9"].concat();
            assert!(decode(&more, &PictureRules::default()).is_ok(), "{}", path.display());
        }
    }

    /// As downloads that broke off and were closed by whoever kept them.
    #[test]
    fn a_jpeg_that_is_cut_and_closed_is_no_picture() {
        for (path, ..) in known().into_iter().filter(|it| it.0.extension().unwrap() == "jpg") {
            let whole = std::fs::read(&path).unwrap();
            for end in 2..whole.len() - 2 {
                let closed = [&whole[..end], b"\xff\xd9"].concat();
                let found = decode(&closed, &PictureRules::default());
                assert!(found.is_err(), "{}: {end} of {}", path.display(), whole.len());
            }
        }
    }

    #[test]
    fn whatever_the_bytes_nothing_panics_and_nothing_is_larger_than_allowed() {
        let mut rng = fastrand::Rng::with_seed(3);
        let rules = PictureRules::of_pixels(4096);
        for (path, ..) in known() {
            let whole = std::fs::read(&path).unwrap();
            for _ in 0..300 {
                let mut bytes = whole.clone();
                for _ in 0..rng.usize(1..6) {
                    let at = rng.usize(0..bytes.len());
                    bytes[at] = rng.u8(..);
                }
                if let Ok(picture) = decode(&bytes, &rules) {
                    assert!(picture.shape()[0] * picture.shape()[1] <= 4096);
                }
            }
        }
    }

    #[test]
    fn damage_within_a_png_is_found() {
        let whole = std::fs::read(format!("{DATA}/colours.png")).unwrap();
        for at in 8..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            assert!(decode(&bytes, &PictureRules::default()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn too_many_pixels_are_refused_by_name_in_every_format() {
        let rules = PictureRules::of_pixels(500);
        for name in ["fine.jpg", "progressive.jpg", "grey.png", "frame.gif", "colours.bmp"] {
            let path = format!("{DATA}/{name}");
            let error = decode_file(Path::new(&path), &rules).unwrap_err();
            assert!(
                error.contains(name) && error.contains("21 x 26 = 546: --pixels-max"),
                "{error}"
            );
        }
        let error = decode_file(Path::new(&format!("{DATA}/lossy.webp")), &rules).unwrap_err();
        assert!(error.contains("at most 500 pixels"), "{error}");
    }
}
