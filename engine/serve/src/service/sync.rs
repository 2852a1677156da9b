//! The atomics of the door; tests of all interleavings put others in their place.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
