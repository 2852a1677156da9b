//! Whether a file is all there. Decoders stop at the last pixel, or fill what is missing: a file
//! that does not reach its own end has lost something, and nobody should trust what is left.

use flate2::Crc;

use super::decode::CUT;
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

/// Blocks up to the trailer.
fn gif(bytes: &[u8]) -> Option<Checked> {
    let mut bytes = Bytes(bytes.get(6..)?);
    let screen = bytes.take(7)?;
    bytes.take(colours(screen[4]))?;
    loop {
        match bytes.byte()? {
            b'!' => {
                bytes.byte()?;
            }
            b',' => {
                let frame = bytes.take(9)?;
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

/// All lines, where they are not packed. The size that a header tells is often wrong.
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
    let is_packed = !is_old && ![0, 3, 6].contains(&number(30)?);
    let line = (u64::from(width) * u64::from(bits)).div_ceil(32) * 4;
    let end = line.saturating_mul(u64::from(height)).saturating_add(u64::from(start));
    (is_packed || bytes.len() as u64 >= end).then_some(Ok(()))
}

/// As many bytes as the header says.
fn webp(bytes: &[u8]) -> Option<Checked> {
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?);
    (bytes.len() as u64 >= u64::from(length) + 8).then_some(Ok(()))
}
