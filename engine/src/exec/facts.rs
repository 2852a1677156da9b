//! One row that is there.

/// What the host knows of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowFacts {
    /// Number of the group that it is in.
    pub(super) group: u64,
    /// Its index in the batch that it came with.
    pub(super) row: usize,
    pub(super) tokens: usize,
    /// It was drawn: a row of the sample.
    pub(super) is_drawn: bool,
    /// It runs to the end whatever it answers.
    pub(super) stays: bool,
    /// The exit that answered.
    pub(super) answered: Option<u32>,
    /// The final exit has spoken.
    pub(super) has_ended: bool,
    /// What the final exit decided.
    pub(super) final_label: Option<u32>,
    /// Some logit was NaN or infinite.
    pub(super) is_bad: bool,
    /// The last ramp that it met in groups that it came together from.
    pub(super) met: Option<u32>,
    /// Ramps that have spoken.
    pub(super) seen: usize,
}

impl RowFacts {
    /// Whether it is gone from the device once rows were packed behind exit `packed`.
    pub(super) fn is_gone(&self, packed: Option<u32>) -> bool {
        let left = self.answered.filter(|_| !self.stays);
        left.is_some_and(|exit| packed.is_some_and(|packed| exit <= packed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packing_takes_rows_out() {
        let row = |exit, stays| RowFacts { answered: exit, stays, ..RowFacts::default() };
        assert!(row(Some(1), false).is_gone(Some(1)));
        assert!(!row(Some(2), false).is_gone(Some(1)), "it left behind the packing");
        assert!(!row(Some(0), true).is_gone(Some(1)), "it stays");
        assert!(!row(Some(0), false).is_gone(None) && !row(None, false).is_gone(Some(1)));
    }
}
