//! After start the data path allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use offramp::adapt::{AdaptOptions, Adaptive};
use offramp::{AfterExit, Answer, PassSettings, Score};

use crate::support::{Bench, model_with_ramps, random_rows};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static ON: AtomicBool = AtomicBool::new(false);

thread_local! {
    static WATCHED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn note() {
    let is_ours = ON.load(Ordering::Relaxed) && WATCHED.try_with(std::cell::Cell::get) == Ok(true);
    COUNT.fetch_add(usize::from(is_ours), Ordering::Relaxed);
}

// SAFETY: hands every call to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations on this thread while `work` runs. Other tests of this binary allocate meanwhile.
fn allocations(work: impl FnOnce()) -> usize {
    WATCHED.set(true);
    COUNT.store(0, Ordering::Relaxed);
    ON.store(true, Ordering::Relaxed);
    work();
    ON.store(false, Ordering::Relaxed);
    WATCHED.set(false);
    COUNT.load(Ordering::Relaxed)
}

#[test]
fn a_pass_allocates_nothing() {
    let model = model_with_ramps("bert-cls", 9);
    let mut bench = Bench::new(&model, 2);
    let rows = random_rows(32, &model, 9);
    let exits = bench.exits(Score::Confidence, 0.4);
    let mut settings = PassSettings::new(&exits, AfterExit::Compact);
    settings.audit_rate = 0.2;
    let mut batch = bench.engine.batch();
    let mut answered = 0;
    let count = allocations(|| {
        for _ in 0..3 {
            batch.clear();
            for row in &rows {
                batch.push_row(row).unwrap();
            }
            let mut sink = |_: Answer<'_>| answered += 1;
            bench.engine.run(&batch, &settings, &mut sink).unwrap();
        }
    });
    assert_eq!(answered, 3 * rows.len());
    assert_eq!(count, 0, "allocations in three passes");
    let options = AdaptOptions { ring_rows: 8, ..Default::default() };
    let mut adaptive = Adaptive::start(&bench.engine, &exits, &[], &options).unwrap();
    let mut sink = |_: Answer<'_>| answered += 1;
    let count = allocations(|| {
        for _ in 0..3 {
            adaptive.run(&mut bench.engine, &batch, AfterExit::Compact, &mut sink).unwrap();
        }
    });
    assert_eq!(count, 0, "allocations in three adaptive passes");
    let done = adaptive.finish().unwrap();
    assert_eq!(done.rows + done.lost_rows, 3 * rows.len() as u64);
    assert!(allocations(|| drop(vec![1u8; 100])) > 0, "the counter counts");
}
