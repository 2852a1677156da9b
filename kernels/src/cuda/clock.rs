//! How long the device works on a pass, by two events in its stream.

use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::result;

use super::driver::{Context, During};
use super::event::Event;
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
