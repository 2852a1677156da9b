//! The blocks of a scan, code by code. (ITU-T T.81, annexes F and G.)

use super::codes::{Bits, Codes, Fault};
use super::frame::{Frame, Part, Scan, Tables};
use super::stop::{MISSING, Stop, Walked};

const NO_TABLE: Stop = Stop::Damaged("a scan without its Huffman table");

/// Reads the codes of a scan.
pub(super) struct Reader<'a> {
    bits: Bits<'a>,
    tables: &'a Tables,
    scan: &'a Scan,
    /// Blocks to come in which nothing new is.
    run: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bits: Bits<'a>, tables: &'a Tables, scan: &'a Scan) -> Self {
        Self { bits, tables, scan, run: 0 }
    }

    /// All units of a picture.
    pub(super) fn units(&mut self, frame: &mut Frame, interval: usize) -> Walked<()> {
        let alone = match self.scan.parts[..] {
            [Part { place, .. }] => Some(frame.components[place].blocks),
            _ => None,
        };
        let [across, down] = alone.unwrap_or(frame.units);
        let parts = &self.scan.parts;
        for unit in 0..across * down {
            if interval > 0 && unit > 0 && unit.is_multiple_of(interval) {
                self.restart()?;
            }
            let (x, y) = (unit % across, unit / across);
            for part in parts {
                let component = &mut frame.components[part.place];
                let [wide, high] = if alone.is_some() { [1, 1] } else { component.unit };
                for block in 0..wide * high {
                    let (x, y) = (x * wide + block % wide, y * high + block / wide);
                    // Of other pictures nothing needs to be kept.
                    let kept = component.not_zero.get_mut(y * component.stride + x);
                    self.block(kept.unwrap_or(&mut 0), part.tables)?;
                }
            }
        }
        Ok(())
    }

    /// The place of the marker behind the scan.
    pub(super) fn end(&mut self) -> Walked<usize> {
        self.bits.marker().map(|(place, _)| place).ok_or(Stop::Cut)
    }

    fn restart(&mut self) -> Walked<()> {
        self.run = 0;
        match self.bits.marker() {
            Some((_, 0xd0..=0xd7)) => self.bits.pass_marker(),
            Some(_) => return Err(MISSING),
            None => return Err(Stop::Cut),
        }
        Ok(())
    }

    /// Table `table` of means (0) or of other coefficients (1).
    fn codes(&self, kind: usize, table: usize) -> Walked<&'a Codes> {
        let of_kind = self.tables.0.get(kind);
        of_kind.and_then(|tables| tables.get(table)?.as_ref()).ok_or(NO_TABLE)
    }

    /// One block of a component.
    fn block(&mut self, not_zero: &mut u64, [means, others]: [usize; 2]) -> Walked<()> {
        let [first, last] = self.scan.band;
        match (first, self.scan.refines) {
            (0, true) => self.bits.take(1).map(drop)?,
            (0, false) => self.mean(means)?,
            _ => {}
        }
        match last {
            0 => Ok(()),
            _ if self.scan.refines => self.refine(not_zero, others),
            _ => self.others(not_zero, others),
        }
    }

    fn mean(&mut self, table: usize) -> Walked<()> {
        let length = self.bits.symbol(self.codes(0, table)?)?;
        if length > 16 {
            return Err(Fault::NoCode.into());
        }
        Ok(self.bits.take(length.into()).map(drop)?)
    }

    /// The other coefficients, for the first time.
    fn others(&mut self, not_zero: &mut u64, table: usize) -> Walked<()> {
        if self.run > 0 {
            self.run -= 1;
            return Ok(());
        }
        let codes = self.codes(1, table)?;
        let [first, last] = self.scan.band;
        let mut at = first.max(1);
        while at <= last {
            let symbol = self.bits.symbol(codes)?;
            let (zeros, length) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, length) {
                (15, 0) => at += 16,
                (_, 0) => {
                    self.run = (1 << zeros) - 1 + self.bits.take(zeros)?;
                    break;
                }
                _ => {
                    at += zeros as usize;
                    self.bits.take(length)?;
                    *not_zero |= 1_u64.checked_shl(at as u32).ok_or(Fault::NoCode)?;
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// One more bit of every coefficient that is not zero, and coefficients of which this is the
    /// first bit.
    fn refine(&mut self, not_zero: &mut u64, table: usize) -> Walked<()> {
        let codes = self.codes(1, table)?;
        let [mut at, last] = self.scan.band;
        while self.run == 0 && at <= last {
            let symbol = self.bits.symbol(codes)?;
            let (zeros, length) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, length) {
                (..15, 0) => {
                    self.run = (1 << zeros) + self.bits.take(zeros)?;
                    break;
                }
                // The sign.
                (_, 1..) => self.bits.take(1).map(drop)?,
                _ => {}
            }
            at = self.pass(*not_zero, at, zeros)?;
            if length > 0 && at <= last {
                *not_zero |= 1 << at;
            }
            at += 1;
        }
        if self.run > 0 {
            self.pass(*not_zero, at, u32::MAX)?;
            self.run -= 1;
        }
        Ok(())
    }

    /// Goes past so many zeros, with a bit for each other coefficient on the way.
    fn pass(&mut self, not_zero: u64, mut at: usize, mut zeros: u32) -> Walked<usize> {
        while at <= self.scan.band[1] {
            match (not_zero >> at & 1, zeros) {
                (1, _) => self.bits.take(1).map(drop)?,
                (_, 0) => break,
                _ => zeros -= 1,
            }
            at += 1;
        }
        Ok(at)
    }
}
