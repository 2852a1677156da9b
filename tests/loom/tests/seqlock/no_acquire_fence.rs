//! Without the fence that the name says.

lock!();

mod sync {
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    pub(super) fn fence(order: Ordering) {
        if order != Ordering::Acquire {
            loom::sync::atomic::fence(order);
        }
    }
}
