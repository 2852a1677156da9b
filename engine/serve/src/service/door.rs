//! How many wait inside, and whether more are let in: one word, so that neither is seen without
//! the other.

use super::sync::{AtomicUsize, Ordering};

/// Set once, for good.
const CLOSED: usize = 1;
/// One that waits.
const ONE: usize = 2;

/// Counts who goes in and who comes out.
pub(crate) struct Door {
    word: AtomicUsize,
    waiting_max: usize,
}

/// Why one was not let in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Closed,
    Full { waiting: usize },
}

impl Door {
    pub(crate) fn new(waiting_max: usize) -> Self {
        Self { word: AtomicUsize::new(0), waiting_max }
    }

    /// Counts one in. Whoever is let in is waited for: see [`is_over`](Self::is_over).
    pub(crate) fn enter(&self) -> Result<(), Refused> {
        let before = self.word.fetch_add(ONE, Ordering::AcqRel);
        let waiting = before / ONE;
        let refused = match before & CLOSED {
            0 if waiting < self.waiting_max => return Ok(()),
            0 => Refused::Full { waiting },
            _ => Refused::Closed,
        };
        self.leave(1);
        Err(refused)
    }

    /// So many wait no more.
    pub(crate) fn leave(&self, count: usize) {
        self.word.fetch_sub(count * ONE, Ordering::AcqRel);
    }

    /// Who waits, those on their way in included.
    pub(crate) fn waiting(&self) -> usize {
        self.word.load(Ordering::Acquire) / ONE
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Closed, and nobody waits: then nobody ever will, as the next one in changes this very word
    /// and sees that it is closed.
    pub(crate) fn is_over(&self) -> bool {
        self.word.load(Ordering::Acquire) == CLOSED
    }
}
