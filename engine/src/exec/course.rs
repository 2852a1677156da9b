//! The ramps of a pass, as they were issued: which is due, and who is gone by then.

/// Segments that may be issued beyond the last ramp that was heard.
const AHEAD: usize = 1;

/// A ramp of this pass that was issued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issued {
    pub(super) ramp: u32,
    site: usize,
    /// The ramp before it behind which rows were packed last.
    pub(super) packed: Option<u32>,
}

/// The ramps of a pass, as they were issued.
#[derive(Clone, Debug)]
pub(super) struct Course {
    issued: Vec<Issued>,
    pub(super) packed: Option<u32>,
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

    /// Rows have been packed behind the last ramp.
    pub(super) fn pack(&mut self) {
        self.packed = self.issued.last().map(|issued| issued.ramp);
    }

    /// The ramp to be heard before segment `index` is issued.
    pub(super) fn due(&self, index: usize) -> Option<Issued> {
        self.issued.iter().rev().find(|issued| issued.site + AHEAD < index).copied()
    }
}

/// Whether a row that `exit` answered is gone once rows were packed behind `packed`.
pub(super) fn is_gone(exit: Option<u32>, stays: bool, packed: Option<u32>) -> bool {
    !stays && exit.is_some_and(|exit| packed.is_some_and(|packed| exit <= packed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_due_one_segment_late() {
        let mut course = Course::with_capacity(2);
        course.issue(0, 1);
        course.pack();
        course.issue(1, 3);
        let due = |index| course.due(index).map(|issued| issued.ramp);
        assert_eq!([due(2), due(3), due(4), due(5)], [None, Some(0), Some(0), Some(1)]);
        assert_eq!(course.due(5).and_then(|issued| issued.packed), Some(0));
    }

    #[test]
    fn only_packing_takes_rows_out() {
        assert!(is_gone(Some(1), false, Some(1)));
        assert!(!is_gone(Some(2), false, Some(1)), "it left behind the packing");
        assert!(!is_gone(Some(0), true, Some(1)), "it stays");
        assert!(!is_gone(Some(0), false, None) && !is_gone(None, false, Some(1)));
    }
}
