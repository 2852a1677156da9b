//! The ramps of a group, as they were issued: which is due, and behind which rows were packed.

use super::facts::RowFacts;

/// Segments that may be issued beyond the last ramp that was heard.
const AHEAD: usize = 1;

/// A ramp that was issued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issued {
    pub(super) ramp: u32,
    site: usize,
    /// The ramp before it behind which rows were packed last.
    pub(super) packed: Option<u32>,
}

/// The ramps of a group, as they were issued.
#[derive(Clone, Debug)]
pub(super) struct Course {
    issued: Vec<Issued>,
    packed: Option<u32>,
}

impl Course {
    pub(super) fn with_capacity(ramps: usize) -> Self {
        Self { issued: Vec::with_capacity(ramps), packed: None }
    }

    pub(super) fn clear(&mut self) {
        self.issued.clear();
        self.packed = None;
    }

    /// A ramp has been issued.
    pub(super) fn issue(&mut self, ramp: u32, site: usize) {
        self.issued.push(Issued { ramp, site, packed: self.packed });
    }

    /// Rows have been packed behind this ramp.
    pub(super) fn pack(&mut self, ramp: u32) {
        self.packed = Some(ramp);
    }

    /// The ramp behind which rows were packed last.
    pub(super) fn packed(&self) -> Option<u32> {
        self.packed
    }

    /// The last of these ramps that a row met: behind it, or before the next, it was packed away.
    pub(super) fn last_met(&self, facts: &RowFacts) -> Option<u32> {
        let met = self.issued.iter().rev().find(|issued| !facts.is_gone(issued.packed));
        met.map(|issued| issued.ramp)
    }

    /// The ramp to be heard before segment `index` is issued.
    pub(super) fn due(&self, index: usize) -> Option<Issued> {
        self.issued.iter().rev().find(|issued| issued.site + AHEAD < index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_due_one_segment_late() {
        let mut course = Course::with_capacity(2);
        course.issue(0, 1);
        course.pack(0);
        course.issue(1, 3);
        let due = |index| course.due(index).map(|issued| issued.ramp);
        assert_eq!([due(2), due(3), due(4), due(5)], [None, Some(0), Some(0), Some(1)]);
        assert_eq!(course.due(5).and_then(|issued| issued.packed), Some(0));
    }
}
