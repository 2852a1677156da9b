//! A few words that one writer replaces and any number of readers copy, whole, without a lock:
//! a sequence lock over atomics.
//!
//! The version is odd while words are written. A reader that meets a writer at work tries a few
//! times and then keeps what it has: a writer that was taken off its core in the middle of a
//! publication holds nobody up.

use crossbeam_utils::CachePadded;

use super::sync::{Arc, AtomicU32, AtomicU64, Ordering, fence};

/// Attempts of a reader before it keeps its old copy.
const ATTEMPTS: usize = 3;

struct Shared {
    /// On a cache line of its own: readers look at it before every pass.
    version: CachePadded<AtomicU64>,
    words: Box<[AtomicU32]>,
}

/// The only one who writes.
pub(crate) struct Writer(Arc<Shared>);

/// Holds the newest copy it could take.
#[derive(Clone)]
pub(crate) struct Reader {
    shared: Arc<Shared>,
    version: u64,
    words: Box<[u32]>,
    scratch: Box<[u32]>,
}

/// A table that holds `words`, at version 0.
pub(crate) fn seqlock(words: &[u32]) -> (Writer, Reader) {
    let shared = Arc::new(Shared {
        version: CachePadded::new(AtomicU64::new(0)),
        words: words.iter().map(|&word| AtomicU32::new(word)).collect(),
    });
    let (words, scratch) = (words.into(), words.into());
    (Writer(Arc::clone(&shared)), Reader { shared, version: 0, words, scratch })
}

impl Writer {
    /// Replaces all words; gives the new version.
    pub(crate) fn publish(&mut self, words: impl IntoIterator<Item = u32>) -> u64 {
        let Shared { version, words: places } = &*self.0;
        let before = version.load(Ordering::Relaxed);
        version.store(before + 1, Ordering::Relaxed);
        // The odd version is seen before any of the words.
        fence(Ordering::Release);
        for (place, word) in places.iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
        version.store(before + 2, Ordering::Release);
        before / 2 + 1
    }
}

impl Reader {
    /// Takes the newest words, if there are newer ones and no writer is in the way; whether it did.
    pub(crate) fn refresh(&mut self) -> bool {
        (0..ATTEMPTS).any(|_| self.attempt())
    }

    fn attempt(&mut self) -> bool {
        let before = self.shared.version.load(Ordering::Acquire);
        if !before.is_multiple_of(2) || before == self.version {
            return false;
        }
        for (place, word) in self.scratch.iter_mut().zip(&self.shared.words) {
            *place = word.load(Ordering::Relaxed);
        }
        // All words are read before the version is looked at again.
        fence(Ordering::Acquire);
        if self.shared.version.load(Ordering::Relaxed) != before {
            return false;
        }
        std::mem::swap(&mut self.words, &mut self.scratch);
        self.version = before;
        true
    }

    pub(crate) fn words(&self) -> &[u32] {
        &self.words
    }

    /// Publications before this copy.
    pub(crate) fn version(&self) -> u64 {
        self.version / 2
    }
}
