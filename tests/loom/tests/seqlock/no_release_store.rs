//! With a version whose accesses order less than they should.

lock!();

mod sync {
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicU32, Ordering, fence};

    weakened!(Release);

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
