//! Handles are numbers in tables, so that a wrong one is an error and never a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Code, Result};
use crate::ffi::Handle;

/// One number for all tables: a handle of another kind is in no other table.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// Objects of one kind by handle.
pub(crate) struct Table<T> {
    entries: Mutex<BTreeMap<Handle, Arc<T>>>,
}

impl<T> Table<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Mutex::new(BTreeMap::new()) }
    }

    /// Takes an object in.
    pub(crate) fn insert(&self, object: Arc<T>) -> Handle {
        // Far from 0, 1 and 2, which name streams, and from any address.
        let handle = Handle(NEXT.fetch_add(1, Ordering::Relaxed) << 8 | 0x7);
        self.entries.lock().insert(handle, object);
        handle
    }

    /// The object of a handle.
    pub(crate) fn get(&self, handle: Handle) -> Result<Arc<T>> {
        self.entries.lock().get(&handle).cloned().ok_or(Code::InvalidHandle)
    }

    /// Takes an object out.
    pub(crate) fn remove(&self, handle: Handle) -> Result<Arc<T>> {
        self.entries.lock().remove(&handle).ok_or(Code::InvalidHandle)
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Keeps only the objects that `keep` is true for.
    pub(crate) fn retain(&self, keep: impl Fn(&T) -> bool) {
        self.entries.lock().retain(|_, object| keep(object));
    }
}
