//! Whether a file is all there. Decoders stop at the last pixel, or fill what is missing: a file
//! that does not reach its own end has lost something, and nobody should trust what is left.

use flate2::Crc;

use super::decoded::CUT;
use super::kind::Kind;

type Checked = Result<(), String>;

/// Fails where the end of the file is missing, or sums do not fit. JPEG is checked by its decoder.
pub(super) fn check(kind: Kind, bytes: &[u8]) -> Checked {
    let checked = match kind {
        Kind::Jpeg => Some(Ok(())),
        Kind::Png => png(bytes),
        Kind::Gif => gif(bytes),
        Kind::Bmp => bmp(bytes),
        Kind::WebP => webp(bytes),
    };
    checked.unwrap_or_else(|| Err(CUT.to_owned()))
}

/// Bytes that are taken from the front; none where they are not all there.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn four(&mut self) -> Option<[u8; 4]> {
        self.take(4)?.try_into().ok()
    }
}

/// Chunks up to IEND. Sums of those that a decoder may do without are not looked at.
fn png(bytes: &[u8]) -> Option<Checked> {
    let mut bytes = Bytes(bytes.get(8..)?);
    loop {
        let length = u32::from_be_bytes(bytes.four()?) as usize;
        let name = bytes.four()?;
        let data = bytes.take(length)?;
        let expected = u32::from_be_bytes(bytes.four()?);
        let mut sum = Crc::new();
        sum.update(&name);
        sum.update(data);
        if name[0].is_ascii_uppercase() && sum.sum() != expected {
            let name = name.escape_ascii();
            let found = sum.sum();
            return Some(Err(format!(
                "damaged PNG: chunk {name}: expected the sum {expected:#010x}, found {found:#010x}"
            )));
        }
        if &name == b"IEND" {
            return Some(Ok(()));
        }
    }
}

/// Blocks up to the trailer, the first frame no larger than the picture: a decoder makes room for
/// it by its own size.
fn gif(bytes: &[u8]) -> Option<Checked> {
    let mut bytes = Bytes(bytes.get(6..)?);
    let screen = bytes.take(7)?;
    bytes.take(colours(screen[4]))?;
    let sides = |at: &[u8]| [[at[0], at[1]], [at[2], at[3]]].map(u16::from_le_bytes);
    let mut is_first = true;
    loop {
        match bytes.byte()? {
            b'!' => {
                bytes.byte()?;
            }
            b',' => {
                let frame = bytes.take(9)?;
                let [[wide, tall], [width, height]] = [sides(&frame[4..]), sides(screen)];
                if std::mem::take(&mut is_first) && (wide > width || tall > height) {
                    let what = format!("a frame of {tall} x {wide} in {height} x {width}");
                    return Some(Err(format!("damaged GIF: {what}")));
                }
                bytes.take(colours(frame[8]))?;
                // The size of its codes.
                bytes.byte()?;
            }
            b';' => return Some(Ok(())),
            // Padding of some encoders.
            0 => continue,
            other => return Some(Err(format!("damaged GIF: a block of kind {other:#04x}"))),
        }
        while let length @ 1.. = bytes.byte()? {
            bytes.take(usize::from(length))?;
        }
    }
}

/// Bytes of the table of colours that `flags` tell of.
fn colours(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// All lines. The size that a header tells is often wrong.
fn bmp(bytes: &[u8]) -> Option<Checked> {
    let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let half = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let (start, is_old) = (number(10)?, number(14)? == 12);
    let [width, height] = match is_old {
        true => [u32::from(half(18)?), u32::from(half(20)?)],
        // A height below 0 puts the first line on top.
        false => [number(18)?, number(22)?.cast_signed().unsigned_abs()],
    };
    let bits = half(if is_old { 24 } else { 28 })?;
    match if is_old { 0 } else { number(30)? } {
        packed @ 1..=2 => return runs(bytes.get(start as usize..)?, packed == 2),
        0 | 3 | 6 => {}
        // Others are no lines of pixels, and no decoder of ours takes them.
        _ => return Some(Ok(())),
    }
    let line = (u64::from(width) * u64::from(bits)).div_ceil(32) * 4;
    let end = line.saturating_mul(u64::from(height)).saturating_add(u64::from(start));
    (bytes.len() as u64 >= end).then_some(Ok(()))
}

/// Runs of pixels, of which two may share a byte, up to the end of the picture.
fn runs(bytes: &[u8], are_halves: bool) -> Option<Checked> {
    let mut bytes = Bytes(bytes);
    loop {
        match (bytes.byte()?, bytes.byte()?) {
            (0, 1) => return Some(Ok(())),
            // A step to another place.
            (0, 2) => drop(bytes.take(2)?),
            // The end of a line, or one pixel many times.
            (0, 0) | (1.., _) => {}
            (0, count) => {
                let count = usize::from(count);
                let held = if are_halves { count.div_ceil(2) } else { count };
                bytes.take(held.next_multiple_of(2))?;
            }
        }
    }
}

/// As many bytes as the header says, in chunks that are all there: a decoder makes room for one, up
/// to 4 GiB, before it reads it.
fn webp(bytes: &[u8]) -> Option<Checked> {
    let mut file = Bytes(bytes.get(4..)?);
    let length = u32::from_le_bytes(file.four()?) as usize;
    let mut chunks = Bytes(file.take(length)?);
    chunks.take(b"WEBP".len())?;
    // A rest that holds no chunk is nobody's.
    while chunks.0.len() >= 8 {
        chunks.four()?;
        let size = u32::from_le_bytes(chunks.four()?) as usize;
        chunks.take(size)?;
        chunks.take(size % 2).unwrap_or_default();
    }
    Some(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::super::rules::PictureRules;
    use super::*;

    /// 4 x 2 pixels of a palette of two greys, in runs.
    fn packed(compression: u8, runs: &[u8]) -> Vec<u8> {
        let mut file = b"BM\0\0\0\0\0\0\0\0\x3e\0\0\0\x28\0\0\0".to_vec();
        let bits = 8 / compression;
        file.extend([4, 0, 0, 0, 2, 0, 0, 0, 1, 0, bits, 0, compression, 0, 0, 0]);
        file.extend([0; 12]);
        file.extend([2, 0, 0, 0, 0, 0, 0, 0]);
        file.extend([10, 10, 10, 0, 90, 90, 90, 0]);
        file.extend(runs);
        file
    }

    #[test]
    fn runs_of_pixels_are_followed_to_the_end_of_the_picture() {
        let cases: [(u8, &[u8]); 3] = [
            (1, &[4, 1, 0, 0, 3, 0, 1, 1, 0, 0, 0, 1]),
            (1, &[0, 3, 1, 0, 1, 0, 1, 1, 0, 0, 0, 4, 1, 1, 0, 1, 0, 1]),
            (2, &[4, 0x10, 0, 0, 0, 4, 0x11, 0x10, 0, 0, 0, 1]),
        ];
        for (compression, runs) in cases {
            let file = packed(compression, runs);
            let picture = super::super::picture(&file, &PictureRules::default()).unwrap();
            assert_eq!(picture.shape(), [2, 4, 3]);
            for end in 0..file.len() {
                let found = super::super::picture(&file[..end], &PictureRules::default());
                assert!(found.is_err(), "{end} of {}", file.len());
            }
        }
    }

    #[test]
    fn sums_and_sizes_that_do_not_fit_are_told() {
        let gif = b"GIF89a\x01\0\x01\0\0\0\0";
        let cases: [(Kind, &[u8], &str); 7] = [
            (Kind::Png, b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\0\0\0\0", "chunk IEND: expected the sum"),
            (Kind::Gif, &[&gif[..], b"?"].concat(), "a block of kind 0x3f"),
            (Kind::Gif, &[&gif[..], b"!\xf9\x02a"].concat(), CUT),
            (Kind::Gif, b"GIF89a\x09\0\x07\0\0\0\0,\0\0\0\0\x0a\0\x07\0\0", "7 x 10 in 7 x 9"),
            (Kind::WebP, b"RIFF\x05\0\0\0WEBP", CUT),
            (Kind::WebP, b"RIFF\x14\0\0\0WEBPEXIF\xff\xff\xff\xb8abcdefgh", CUT),
            (Kind::WebP, b"RIFF\x14\0\0\0WEBPVP8 \x09\0\0\0abcdefgh", CUT),
        ];
        for (kind, bytes, expected) in cases {
            let error = check(kind, bytes).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(check(Kind::Gif, &[&gif[..], b"\0;"].concat()).is_ok());
    }
}
