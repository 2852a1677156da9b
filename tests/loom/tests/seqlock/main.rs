//! The sequence lock of the thresholds under every order in which threads may meet; and without
//! each of its fences and orderings, where the same test must fail.

#![expect(clippy::duplicate_mod, reason = "one lock over atomics of several strengths")]

/// Atomics of which fences of one order are left out.
macro_rules! without_fence {
    ($order:ident) => {
        mod sync {
            pub(super) use loom::sync::Arc;
            pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

            pub(super) fn fence(order: Ordering) {
                if order != Ordering::$order {
                    loom::sync::atomic::fence(order);
                }
            }
        }
    };
}

/// Atomics of which the version's accesses of one order have none.
macro_rules! weakened {
    ($order:ident) => {
        mod sync {
            pub(super) use loom::sync::Arc;
            pub(super) use loom::sync::atomic::{AtomicU32, Ordering, fence};

            fn kept(order: Ordering) -> Ordering {
                if order == Ordering::$order { Ordering::Relaxed } else { order }
            }

            pub(super) struct AtomicU64(loom::sync::atomic::AtomicU64);

            impl AtomicU64 {
                pub(super) fn new(value: u64) -> Self {
                    Self(loom::sync::atomic::AtomicU64::new(value))
                }

                pub(super) fn load(&self, order: Ordering) -> u64 {
                    self.0.load(kept(order))
                }

                pub(super) fn store(&self, value: u64, order: Ordering) {
                    self.0.store(value, kept(order));
                }
            }
        }
    };
}

/// The lock over this module's `sync`, and the test of it.
macro_rules! lock {
    () => {
        #[path = "../../../../engine/src/exit/seqlock.rs"]
        mod seqlock;

        /// One writer with two publications, and so many readers; every order in which a thread is
        /// interrupted at most `interruptions` times, where that is bounded.
        pub(crate) fn model(readers: usize, interruptions: Option<usize>) {
            let mut builder = loom::model::Builder::new();
            builder.preemption_bound = interruptions;
            builder.check(move || {
                let (mut writer, reader) = seqlock::seqlock(&[0; 2]);
                let read = |mut reader: seqlock::Reader| move || look(&mut reader);
                let threads: Vec<_> =
                    (0..readers).map(|_| loom::thread::spawn(read(reader.clone()))).collect();
                writer.publish([1; 2]);
                writer.publish([2; 2]);
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                let mut last = reader;
                assert!(last.refresh() && last.words() == [2; 2], "the last set is lost");
            });
        }

        fn look(reader: &mut seqlock::Reader) {
            let before = reader.version();
            reader.refresh();
            assert!(reader.version() >= before, "went back");
            assert!(reader.words().iter().all(|&word| u64::from(word) == reader.version()), "torn");
        }
    };
}

mod no_acquire_fence;
mod no_acquire_load;
mod no_release_fence;
mod no_release_store;
mod real;

#[test]
fn a_snapshot_is_whole_with_one_reader() {
    real::model(1, None);
}

#[test]
fn a_snapshot_is_whole_with_two_readers() {
    real::model(2, Some(2));
}

fn fails(model: fn(usize, Option<usize>)) -> bool {
    std::panic::catch_unwind(|| model(1, None)).is_err()
}

#[test]
fn without_the_release_fence_the_test_fails() {
    assert!(fails(no_release_fence::model));
}

#[test]
fn without_the_acquire_fence_the_test_fails() {
    assert!(fails(no_acquire_fence::model));
}

#[test]
fn without_release_on_the_version_the_test_fails() {
    assert!(fails(no_release_store::model));
}

#[test]
fn without_acquire_on_the_version_the_test_fails() {
    assert!(fails(no_acquire_load::model));
}
