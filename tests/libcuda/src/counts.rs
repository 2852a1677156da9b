//! How often the program asked the driver for what.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the program asked for since the start or the last reset.
///
/// Calls recorded into a graph count as `captured` and, but for early launches, as nothing else.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimCounts {
    /// Kernel launches put into a stream.
    pub launches: u64,
    /// Kernel launches that may begin early, put into a stream or recorded into a graph.
    pub early_launches: u64,
    /// Graph launches.
    pub graph_launches: u64,
    /// Copies put into a stream.
    pub async_copies: u64,
    /// Copies the host waited for because it asked for that.
    pub sync_copies: u64,
    /// Fills of memory.
    pub fills: u64,
    /// Allocations, of device and of host memory.
    pub allocations: u64,
    /// Releases of memory.
    pub frees: u64,
    /// Calls that block the host or make the device idle: waiting for a stream, an event or the
    /// context, synchronous copies, copies to pageable memory, allocating and freeing outside
    /// stream order, loading a module.
    pub syncs: u64,
    /// Launches, copies and fills recorded into a graph.
    pub captured: u64,
    /// Modules loaded.
    pub modules: u64,
    /// Contexts made.
    pub contexts: u64,
}

/// Defines a counter for each field.
macro_rules! counters {
    ($($counter:ident $field:ident;)*) => {
        $(pub(crate) static $counter: Counter = Counter(AtomicU64::new(0));)*

        /// All counts now.
        pub(crate) fn read() -> SimCounts {
            SimCounts { $($field: $counter.0.load(Ordering::Relaxed),)* }
        }

        /// Begins again at zero.
        pub(crate) fn reset() {
            $($counter.0.store(0, Ordering::Relaxed);)*
        }
    };
}

counters! {
    LAUNCHES launches;
    EARLY_LAUNCHES early_launches;
    GRAPH_LAUNCHES graph_launches;
    ASYNC_COPIES async_copies;
    SYNC_COPIES sync_copies;
    FILLS fills;
    ALLOCATIONS allocations;
    FREES frees;
    SYNCS syncs;
    CAPTURED captured;
    MODULES modules;
    CONTEXTS contexts;
}

/// A number that only grows between resets.
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
