//! As it is.

lock!();

mod sync {
    pub(super) use loom::sync::Arc;
    pub(super) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}
