//! How pictures are read: how large they may be, and which way is up.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use image::metadata::Orientation;
use offramp::image::SIDE_MAX;

use crate::args::switch;

/// Most pixels where `--pixels-max` does not say otherwise: 8,192 x 8,192.
const PIXELS_MAX: u64 = 1 << 26;
/// A picture as large as a side may be on both.
const PIXELS_LIMIT: u64 = (SIDE_MAX * SIDE_MAX) as u64;

/// The most that a pixel takes in any of the formats: four channels of 16 bits.
const PIXEL_BYTES_MAX: u64 = 8;
/// What a file may hold beside its pixels: profiles, thumbnails, later frames.
const ASIDE_BYTES_MAX: u64 = 64 << 20;

/// Flags of every verb that reads pictures.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct PictureRules {
    /// Most pixels of a picture; a larger one is refused before it is decoded
    /// [default: 67108864, 8192 x 8192]
    #[arg(long, value_name = "N", env = "OFFRAMP_PIXELS_MAX", value_parser = pixels())]
    pixels_max: Option<u64>,
    /// Take pictures as they are stored, and not turned as their EXIF orientation says
    #[arg(long, env = "OFFRAMP_IGNORE_ORIENTATION", value_parser = switch())]
    ignore_orientation: bool,
}

fn pixels() -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(1..=PIXELS_LIMIT)
}

impl PictureRules {
    /// With a limit of one's own.
    pub(crate) fn of_pixels(pixels_max: u64) -> Self {
        Self { pixels_max: Some(pixels_max), ..Self::default() }
    }

    /// A flag that was given, by name.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let pixels_max = self.pixels_max.map(|_| "--pixels-max");
        pixels_max.or(self.ignore_orientation.then_some("--ignore-orientation"))
    }

    fn pixels_max(&self) -> u64 {
        self.pixels_max.unwrap_or(PIXELS_MAX)
    }

    /// Refuses a size, before anything is decoded.
    pub(super) fn check_size(&self, height: usize, width: usize) -> Result<(), String> {
        let sides = 1..=SIDE_MAX;
        if !sides.contains(&height) || !sides.contains(&width) {
            return Err(format!("expected sides from 1 to {SIDE_MAX}, found {height} x {width}"));
        }
        let (pixels, most) = ((height * width) as u64, self.pixels_max());
        match pixels > most {
            true => Err(format!(
                "expected at most {most} pixels, found {height} x {width} = {pixels}: \
                 --pixels-max raises the limit"
            )),
            false => Ok(()),
        }
    }

    /// No file is larger whose picture is within the limit.
    pub(super) fn file_bytes_max(&self) -> u64 {
        self.pixels_max() * PIXEL_BYTES_MAX + ASIDE_BYTES_MAX
    }

    /// How a picture is to be turned whose metadata are `exif` and `xmp`. As in Pillow the second
    /// counts where the first says nothing.
    pub(super) fn orientation(&self, exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
        if self.ignore_orientation {
            return Orientation::NoTransforms;
        }
        let said = exif.and_then(Orientation::from_exif_chunk);
        said.or_else(|| xmp.and_then(in_xmp)).unwrap_or(Orientation::NoTransforms)
    }
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6<`.
fn in_xmp(xmp: &[u8]) -> Option<Orientation> {
    const NAME: &[u8] = b"tiff:Orientation";
    let at = xmp.windows(NAME.len()).position(|bytes| bytes == NAME)?;
    let behind = xmp[at + NAME.len()..].strip_prefix(b"=\"");
    let behind = behind.or_else(|| xmp[at + NAME.len()..].strip_prefix(b">"))?;
    let digit = behind.first()?.checked_sub(b'0')?;
    Orientation::from_exif(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_refused_by_name_before_decoding() {
        let usual = PictureRules::default();
        assert_eq!(usual.check_size(8192, 8192), Ok(()));
        assert_eq!(usual.check_size(SIDE_MAX, 4096), Ok(()));
        let cases = [
            ((8193, 8192), "8193 x 8192 = 67117056: --pixels-max"),
            ((0, 5), "sides from 1 to 16384, found 0 x 5"),
            ((5, usize::MAX), "found 5 x 18446744073709551615"),
        ];
        for ((height, width), expected) in cases {
            let error = usual.check_size(height, width).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        let small = PictureRules::of_pixels(12);
        assert_eq!(small.check_size(4, 3), Ok(()));
        assert!(small.check_size(13, 1).unwrap_err().contains("at most 12 pixels"));
    }

    #[test]
    fn the_orientation_is_that_of_exif_and_else_of_xmp() {
        let rules = PictureRules::default();
        // One entry: 0x0112, a short, one of them, 6.
        let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
        let attribute = b"<rdf tiff:Orientation=\"3\"/>";
        let element = b"<tiff:Orientation>8</tiff:Orientation>";
        let of = |exif: Option<&[u8]>, xmp: Option<&[u8]>| rules.orientation(exif, xmp);
        assert_eq!(of(Some(exif), Some(attribute)), Orientation::Rotate90);
        assert_eq!(of(Some(b"MM\0*"), Some(attribute)), Orientation::Rotate180);
        assert_eq!(of(None, Some(element)), Orientation::Rotate270);
        for nothing in [&b"tiff:Orientation"[..], b"tiff:Orientation=\"9\"", b"", b"x"] {
            assert_eq!(of(None, Some(nothing)), Orientation::NoTransforms);
        }
        let as_stored = PictureRules { ignore_orientation: true, ..rules };
        assert_eq!(as_stored.orientation(Some(exif), None), Orientation::NoTransforms);
    }
}
