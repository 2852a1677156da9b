//! The atomics of the table; tests of all interleavings put others in their place.

pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
