//! Whether a JPEG holds the codes of all its blocks. Decoders take what is missing in front of a
//! marker for zeros: a download that broke off and was closed by its end marker looks whole to
//! them. So codes are read here, and nothing is made of them.

use super::super::decoded::CUT;
use super::blocks::Reader;
use super::codes::Bits;
use super::frame::{Component, Frame, Scan, Tables};
use super::stop::{Stop, Walked};

/// Most scans of a picture: encoders write about ten. A scan goes over all blocks, and a few bytes
/// can say that nothing changes in any.
const SCANS_MAX: usize = 100;

/// Fails where codes, scans or the end are missing. What is not understood is left to the decoder,
/// which says why.
pub(super) fn check(bytes: &[u8], sides: [usize; 2]) -> Result<(), String> {
    let tables = Tables::default();
    let mut walk = Walk { bytes, sides, tables, frame: None, interval: 0, scans: 0 };
    match walk.run() {
        Ok(()) | Err(Stop::Unknown) => Ok(()),
        Err(Stop::Cut) => Err(CUT.to_owned()),
        Err(Stop::Damaged(what)) => Err(format!("damaged JPEG: {what}")),
        Err(Stop::Other(kind)) => Err(format!("a {kind} JPEG, which is not read")),
    }
}

/// From header to header.
struct Walk<'a> {
    bytes: &'a [u8],
    /// Width and height, which are within bounds.
    sides: [usize; 2],
    tables: Tables,
    frame: Option<Frame>,
    /// Units between two restarts; 0: there are none.
    interval: usize,
    /// So far.
    scans: usize,
}

impl Walk<'_> {
    fn run(&mut self) -> Walked<()> {
        // Behind the marker that begins the file.
        let mut at = 2;
        loop {
            let (place, kind) = Bits::new(self.bytes, at).marker().ok_or(Stop::Cut)?;
            at = place + 2;
            if kind == 0xd9 {
                return self.expect_all();
            }
            // Markers without anything behind.
            if matches!(kind, 1 | 0xd0..=0xd8) {
                continue;
            }
            let length = self.bytes.get(at..at + 2).ok_or(Stop::Cut)?;
            let end = at + usize::from(u16::from_be_bytes([length[0], length[1]]));
            let data = self.bytes.get(at + 2..end).ok_or(match end < at + 2 {
                true => Stop::Unknown,
                false => Stop::Cut,
            })?;
            at = self.header(kind, data, end)?;
        }
    }

    /// Takes a header; the place behind it, and behind its scan.
    fn header(&mut self, kind: u8, data: &[u8], end: usize) -> Walked<usize> {
        match kind {
            0xc0..=0xc2 if self.frame.is_none() => {
                let frame = Frame::parse(data, self.sides, kind == 0xc2);
                self.frame = Some(frame.ok_or(Stop::Unknown)?);
            }
            0xc4 => self.tables.take(data).ok_or(Stop::Unknown)?,
            0xc3 => return Err(Stop::Other("lossless")),
            0xc5..=0xc7 | 0xcd..=0xcf | 0xde | 0xdf => return Err(Stop::Other("hierarchical")),
            0xc9..=0xcc => return Err(Stop::Other("arithmetic-coded")),
            // A second frame, a height that comes later.
            0xc0..=0xcf | 0xdc => return Err(Stop::Unknown),
            0xdd => {
                let interval = data.first_chunk::<2>().ok_or(Stop::Unknown)?;
                self.interval = u16::from_be_bytes(*interval).into();
            }
            // A frame of a film, which may do without tables.
            0xe0 if data.starts_with(b"AVI1\0") => self.tables.fill().ok_or(Stop::Unknown)?,
            0xda => return self.scan(data, end),
            _ => {}
        }
        Ok(end)
    }

    fn scan(&mut self, data: &[u8], start: usize) -> Walked<usize> {
        let frame = self.frame.as_mut().ok_or(Stop::Unknown)?;
        let scan = Scan::parse(data, frame).ok_or(Stop::Unknown)?;
        self.scans += 1;
        if self.scans > SCANS_MAX {
            return Err(Stop::Damaged("over 100 scans, more than a picture needs"));
        }
        for part in &scan.parts {
            let component = &mut frame.components[part.place];
            component.begin(&scan).ok_or(Stop::Damaged("a scan out of turn"))?;
        }
        let mut reader = Reader::new(Bits::new(self.bytes, start), &self.tables, &scan);
        reader.units(frame, self.interval)?;
        reader.end()
    }

    /// At the end every coefficient has come, to its last bit.
    fn expect_all(&self) -> Walked<()> {
        let frame = self.frame.as_ref().ok_or(Stop::Unknown)?;
        match frame.components.iter().all(Component::is_done) {
            true => Ok(()),
            false => Err(Stop::Damaged("scans are missing")),
        }
    }
}
