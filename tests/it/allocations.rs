//! After start the data path allocates nothing.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use offramp::{AfterExit, Answer, Engine, EngineOptions, Exits, Model, PassSettings, Score};
use offramp_tune::adapt::{AdaptOptions, Adaptive};

use crate::machine;
use crate::support::{Bench, fill, model_with_ramps, random_rows};

struct Counting;

/// What a thread has allocated, what it gave back included.
#[derive(Clone, Copy, Default)]
struct Tally {
    count: usize,
    bytes: usize,
}

thread_local! {
    /// While this thread is watched. Other tests of this binary allocate meanwhile; the workers of
    /// a pass run the same tasks as the thread that calls it.
    static TALLY: Cell<Option<Tally>> = const { Cell::new(None) };
}

fn note(more: usize) {
    let add = |Tally { count, bytes }| Tally { count: count + 1, bytes: bytes + more };
    // A thread that ends has none any more.
    let _ = TALLY.try_with(|tally| tally.set(tally.get().map(add)));
}

// SAFETY: hands every call to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
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

/// What `work` allocates on this thread.
fn allocated(work: impl FnOnce()) -> Tally {
    TALLY.set(Some(Tally::default()));
    work();
    TALLY.take().unwrap()
}

fn allocated_bytes(work: impl FnOnce()) -> usize {
    allocated(work).bytes
}

fn allocations(work: impl FnOnce()) -> usize {
    allocated(work).count
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

#[test]
fn groups_that_part_and_meet_allocate_nothing() {
    let model = model_with_ramps("bert-cls", 9);
    let options = EngineOptions { threads: 2, groups_max: 3, ..machine::options() };
    let mut engine = Engine::new(&model, &options).unwrap();
    let exits = Exits::uniform(engine.plan(), Score::Confidence, 0.4).unwrap();
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let batches = [1, 2].map(|seed| {
        let mut batch = engine.batch();
        fill(&mut batch, &random_rows(12, &model, seed));
        batch
    });
    let mut answered = 0;
    let mut sink = |_: Answer<'_>| answered += 1;
    let mut parked = Vec::with_capacity(2);
    let count = allocations(|| {
        for _ in 0..3 {
            for batch in &batches {
                let mut group = engine.admit(batch, &settings).unwrap().unwrap();
                engine.step(&mut group, None, &mut sink).unwrap();
                engine.park(&mut group).unwrap();
                parked.push(group);
            }
            let mut group = parked.pop().unwrap();
            engine.gather(&mut group, &mut parked).unwrap();
            while engine.step(&mut group, None, &mut sink).unwrap() {}
            engine.finish(group, &mut sink).unwrap();
        }
    });
    assert_eq!(answered, 3 * 24);
    assert_eq!(count, 0, "allocations of three gathered groups");
}

#[test]
fn a_long_text_takes_no_more_memory_than_its_tokens() {
    let model = Model::open_bare(&offramp_tests::shipped_dir()).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    tokenizer.encode("Wer schrieb \u{e9}?", None).unwrap();
    let letters = "x".repeat(1 << 20);
    let texts = [
        "a ".repeat(1 << 19),
        "\u{4e2d}".repeat(349_000),
        letters.clone(),
        format!("{letters} {letters}"),
        " ".repeat(1 << 20),
        "\0".repeat(1 << 20),
        "e\u{301}".repeat(300_000),
        "[MASK]".repeat(170_000),
        "!?".repeat(1 << 19),
        "\u{1f600}\u{200d}".repeat(150_000),
    ];
    for text in &texts {
        let start: String = text.chars().take(8).collect();
        let bytes = allocated_bytes(|| {
            tokenizer.encode(text, None).unwrap();
        });
        assert!(bytes < 64 << 10, "{bytes} bytes for {start:?} and so on");
        let bytes = allocated_bytes(|| {
            tokenizer.encode(text, Some("a")).unwrap();
            tokenizer.encode("a", Some(text)).unwrap();
        });
        assert!(bytes < 128 << 10, "{bytes} bytes for a pair with {start:?} and so on");
    }
}
