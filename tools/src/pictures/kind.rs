//! What a file is, by how it begins.

use image::ImageFormat;

/// The formats that are read, for people.
pub(super) const FORMATS: &str = "JPEG, PNG, GIF, BMP or WebP";

/// The ends of their names.
pub(super) const ENDINGS: [&str; 11] =
    ["jpg", "jpeg", "jpe", "jif", "jfif", "jfi", "png", "gif", "bmp", "dib", "webp"];

/// Bytes that tell a format.
pub(super) const HEAD_BYTES: usize = 512;

/// A picture's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Jpeg,
    Png,
    Gif,
    Bmp,
    WebP,
}

impl Kind {
    /// Of a file that begins with `head`; none where it is no picture that can be read.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match image::guess_format(head).ok()? {
            ImageFormat::Jpeg => Some(Self::Jpeg),
            ImageFormat::Png => Some(Self::Png),
            ImageFormat::Gif => Some(Self::Gif),
            ImageFormat::Bmp => Some(Self::Bmp),
            ImageFormat::WebP => Some(Self::WebP),
            _ => None,
        }
    }
}

/// What people bring for a picture, by where in the file which bytes are.
const OTHERS: [(usize, &[u8], &str); 25] = [
    (4, b"ftypavi", "an AVIF picture"),
    (4, b"ftyphe", "a HEIC picture"),
    (4, b"ftypmif1", "a HEIF picture"),
    (4, b"ftypmsf1", "a HEIF picture"),
    (4, b"ftyp", "a film, MP4 or the like"),
    (0, b"II*\0", "a TIFF picture"),
    (0, b"MM\0*", "a TIFF picture"),
    (0, b"\xff\x0a", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 picture"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"<svg", "an SVG drawing"),
    (0, b"<?xml", "XML"),
    (0, b"<!DOCTYPE html", "an HTML page"),
    (0, b"<!doctype html", "an HTML page"),
    (0, b"<html", "an HTML page"),
    (0, b"%PDF", "a PDF document"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, which `git lfs pull` replaces"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"PK\x03\x04", "a zip archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"{", "JSON"),
];

/// What a file is that is no picture of ours, where that can be told.
pub(super) fn other(head: &[u8]) -> Option<&'static str> {
    if head.is_empty() {
        return Some("an empty file");
    }
    let is = |(at, bytes, _): &&(usize, &[u8], &str)| {
        head.get(*at..).is_some_and(|from| from.starts_with(bytes))
    };
    OTHERS.iter().find(is).map(|(_, _, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_what_people_take_for_them_are_told_apart() {
        let kinds: [(&[u8], Kind); 5] = [
            (b"\xff\xd8\xff\xe0", Kind::Jpeg),
            (b"\x89PNG\r\n\x1a\n", Kind::Png),
            (b"GIF87a", Kind::Gif),
            (b"BM\0\0", Kind::Bmp),
            (b"RIFF\0\0\0\0WEBP", Kind::WebP),
        ];
        for (head, kind) in kinds {
            assert_eq!((Kind::of(head), other(head)), (Some(kind), None));
        }
        let others: [(&[u8], Option<&str>); 6] = [
            (b"", Some("an empty file")),
            (b"\0\0\0\x18ftypheic\0\0", Some("a HEIC picture")),
            (b"\0\0\0\x18ftypavif\0\0", Some("an AVIF picture")),
            (b"MM\0*\0\0", Some("a TIFF picture")),
            (b"<html><body>404", Some("an HTML page")),
            (b"no picture", None),
        ];
        for (head, expected) in others {
            assert_eq!((Kind::of(head), other(head)), (None, expected));
        }
    }
}
