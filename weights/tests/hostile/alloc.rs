//! An allocator that knows the most bytes this thread has held.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes held now and at most; freed elsewhere counts there, so the first may go below 0.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(bytes: isize) {
    // Threads that are ending have no counter left, and none to be measured.
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        held.set((now + bytes, peak.max(now + bytes)));
    });
}

/// Runs `f`, and says how many bytes more than before it held at the worst moment.
pub(crate) fn peak<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let value = f();
    let (_, peak) = HELD.get();
    (value, usize::try_from(peak - before).unwrap())
}

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor
// unwinds. A reallocation counts as both blocks at once, which is what it may cost.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(block, layout, bytes) }
    }
}

#[test]
fn the_peak_is_what_was_held_at_once() {
    let (_, bytes) = peak(|| {
        drop(vec![1_u8; 10_000]);
        drop(vec![1_u8; 30_000]);
        std::hint::black_box(vec![1_u8; 20_000]);
    });
    assert_eq!(bytes, 30_000);
}
