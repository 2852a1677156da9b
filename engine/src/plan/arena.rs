//! Gives values their place in the arena.
//!
//! A plan's values are born and die like calls: what a segment makes on the way is dead at its
//! end, and only the value that crosses the site lives on. So a stack is enough, and it is
//! optimal: `mark`, `take`, `release`.

use offramp_kernels::Span;

#[derive(Debug, Default)]
pub(super) struct ArenaStack {
    top: usize,
    high: usize,
}

impl ArenaStack {
    /// Spans begin at multiples of this many elements: one cache line, one 128-byte sector pair.
    const ALIGN: usize = 32;

    pub(super) fn take(&mut self, len: usize) -> Span {
        let span = Span { at: self.top, len };
        self.top = span.end().next_multiple_of(Self::ALIGN);
        self.high = self.high.max(self.top);
        span
    }

    pub(super) fn mark(&self) -> usize {
        self.top
    }

    pub(super) fn release(&mut self, mark: usize) {
        self.top = mark;
    }

    /// Elements the whole plan needs.
    pub(super) fn high(&self) -> usize {
        self.high
    }
}
