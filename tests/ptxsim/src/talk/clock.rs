//! Who knows of what: vector clocks over the blocks of a launch.

/// By block, up to which of its publications one knows it; 0 is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock(Vec<u32>);

impl Clock {
    pub(super) fn of(&self, block: u32) -> u32 {
        self.0.get(block as usize).copied().unwrap_or(0)
    }

    pub(super) fn set(&mut self, block: u32, time: u32) {
        let at = block as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] = self.0[at].max(time);
    }

    /// Knows what either knows.
    pub(super) fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).max(*other);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
