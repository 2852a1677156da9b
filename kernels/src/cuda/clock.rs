//! How long the device works on a pass, by two events in its stream.

use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::{result, sys};

use super::driver::{Context, During};
use super::stream::Stream;
use crate::Result;

/// From behind the upload of a pass's rows to behind the last launch sent off.
pub(super) struct PassClock {
    start: Event,
    end: Event,
    is_started: bool,
    is_ended: bool,
}

impl PassClock {
    pub(super) fn new(context: &Arc<Context>) -> Result<Self> {
        let start = Event::timed(context)?;
        let end = Event::timed(context)?;
        Ok(Self { start, end, is_started: false, is_ended: false })
    }

    /// The rows of a pass have been enqueued.
    pub(super) fn start(&mut self, stream: &Stream) -> Result<()> {
        self.is_ended = false;
        self.is_started = true;
        stream.mark(&self.start)
    }

    /// Launches have been enqueued; the last such call of a pass counts.
    pub(super) fn end(&mut self, stream: &Stream) -> Result<()> {
        if !self.is_started {
            return Ok(());
        }
        self.is_ended = true;
        stream.mark(&self.end)
    }

    /// Time between both; `None` where nothing was launched. The stream has come to its end.
    pub(super) fn elapsed(&self) -> Result<Option<Duration>> {
        if !self.is_ended {
            return Ok(None);
        }
        self.start.context.enter()?;
        // SAFETY: both events live, and were recorded in one stream, which has passed them.
        let ms = unsafe { result::event::elapsed(self.start.raw, self.end.raw) };
        let ms = ms.during("reading the device's clock")?;
        Ok(Some(Duration::from_secs_f64(f64::from(ms.max(0.0)) / 1e3)))
    }
}

/// A place in a stream that another one can wait for, and whose time the device may note.
pub(super) struct Event {
    pub(super) raw: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: a handle, used under `Context::enter` by the thread that owns the device.
unsafe impl Send for Event {}

impl Event {
    fn timed(context: &Arc<Context>) -> Result<Self> {
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
