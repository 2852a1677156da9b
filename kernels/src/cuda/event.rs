//! Places in a stream.

use std::sync::Arc;

use cudarc::driver::{result, sys};

use super::driver::{Context, During};
use crate::Result;

/// A place in a stream that another one can wait for, and whose time the device may note.
pub(super) struct Event {
    pub(super) raw: sys::CUevent,
    pub(super) context: Arc<Context>,
}

// SAFETY: a handle, used under `Context::enter` by the thread that owns the device.
unsafe impl Send for Event {}

impl Event {
    pub(super) fn timed(context: &Arc<Context>) -> Result<Self> {
        Self::new(context, sys::CUevent_flags::CU_EVENT_DEFAULT)
    }

    /// Only to wait for, which costs less.
    pub(super) fn untimed(context: &Arc<Context>) -> Result<Self> {
        Self::new(context, sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)
    }

    fn new(context: &Arc<Context>, flags: sys::CUevent_flags) -> Result<Self> {
        context.enter()?;
        let raw = result::event::create(flags);
        Ok(Self { raw: raw.during("making an event")?, context: Arc::clone(context) })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { result::event::destroy(self.raw) };
        }
    }
}
