//! One file to a picture.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read as _};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use offramp::Picture;

use super::kind::{FORMATS, Kind, other};
use super::rules::PictureRules;
use super::{jpeg, whole};

/// What is said of a file whose end is missing.
pub(super) const CUT: &str = "the file is cut: it ends before the picture does";

/// A picture as it is stored, grey or red-green-blue of 8 bits.
pub(super) struct Decoded {
    pub(super) picture: DynamicImage,
    /// How it wants to be turned.
    pub(super) orientation: Orientation,
}

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
