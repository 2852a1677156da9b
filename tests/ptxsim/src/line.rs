//! A line of memory as a thread sees it.

/// Bytes that are looked up at once; no access crosses them.
pub(crate) const LINE: u64 = 16;
/// Bytes that are tracked together.
pub(crate) const CELL: u64 = 2;

/// A line as a thread sees it.
pub(crate) struct Seen {
    pub(crate) bytes: [u8; LINE as usize],
    /// Which cells hold something, a bit each.
    pub(crate) written: u8,
}

impl Seen {
    /// Cell `cell` as it is in `bytes`.
    pub(crate) fn take(&mut self, cell: u64, bytes: &[u8; LINE as usize], written: u8) {
        let at = (cell * CELL) as usize;
        self.bytes[at..at + 2].copy_from_slice(&bytes[at..at + 2]);
        self.written = self.written & !(1 << cell) | written & 1 << cell;
    }

    /// Element of `bytes` bytes at an address of this line.
    pub(crate) fn value(&self, address: u64, bytes: u32) -> u64 {
        let at = (address % LINE) as usize;
        let bytes = self.bytes[at..at + bytes as usize].iter();
        bytes.rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    }
}
