//! Events: places in streams that the host and other streams can wait for.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::capture::{self, Capture};
use crate::context::Context;
use crate::counts;
use crate::error::{Code, Result};
use crate::ffi::{Handle, Out};
use crate::stream;
use crate::table::Table;
use crate::work::Task;
use crate::worker::{Kind, Stream, Ticket};

/// Events of all contexts.
pub(crate) static EVENTS: Table<Event> = Table::new();

/// `CU_EVENT_DISABLE_TIMING`
const DISABLE_TIMING: u32 = 2;
/// All flags of an event: blocking, without timing, between processes.
const FLAGS: u32 = 7;

/// An event.
pub(crate) struct Event {
    pub(crate) context: Arc<Context>,
    has_timing: bool,
    last: Mutex<Last>,
}

/// The last recording.
#[derive(Default)]
struct Last {
    recording: u64,
    place: Option<Ticket>,
    capture: Option<Arc<Capture>>,
    reached: Option<Instant>,
}

impl Event {
    /// The stream has come to where recording number `recording` was made.
    pub(crate) fn reach(&self, recording: u64) {
        let mut last = self.last.lock();
        if last.recording == recording {
            last.reached = Some(Instant::now());
        }
    }

    /// Where it was recorded last, if ever; fails if that was in a capture.
    fn place(&self) -> Result<Option<Ticket>> {
        let last = self.last.lock();
        match &last.capture {
            Some(capture) => {
                capture.invalidate();
                Err(Code::CapturedEvent)
            }
            None => Ok(last.place.clone()),
        }
    }

    /// When it was reached; not if it never was recorded.
    fn time(&self) -> Result<Instant> {
        let place = self.place()?.ok_or(Code::InvalidHandle)?;
        if !self.has_timing {
            return Err(Code::InvalidHandle);
        }
        let reached = self.last.lock().reached;
        if place.is_done() { reached.ok_or(Code::NotReady) } else { Err(Code::NotReady) }
    }
}

fn get(event: Handle) -> Result<Arc<Event>> {
    let event = EVENTS.get(event)?;
    event.context.check()?;
    Ok(event)
}

/// `cuEventCreate`
pub(crate) fn create(out: Out<Handle>, flags: u32) -> Result {
    let context = Context::current()?;
    out.check()?;
    if flags & !FLAGS != 0 {
        return Err(Code::InvalidValue);
    }
    let has_timing = flags & DISABLE_TIMING == 0;
    out.set(EVENTS.insert(Arc::new(Event { context, has_timing, last: Mutex::default() })))
}

/// `cuEventDestroy`
pub(crate) fn destroy(event: Handle) -> Result {
    EVENTS.remove(event)?.context.check()
}

/// `cuEventRecord`
pub(crate) fn record(event: Handle, stream: Handle) -> Result {
    let event = get(event)?;
    let stream = stream::get(stream)?;
    if !Arc::ptr_eq(&event.context, &stream.context) {
        return Err(Code::InvalidHandle);
    }
    let capture = stream.capture.lock().clone();
    capture::forbid_default(&stream)?;
    let mut last = event.last.lock();
    last.recording += 1;
    last.reached = None;
    last.place = match capture {
        Some(_) => None,
        None => Some(stream.submit(Task::Record(Arc::clone(&event), last.recording))),
    };
    last.capture = capture;
    Ok(())
}

/// `cuEventQuery`
pub(crate) fn query(event: Handle) -> Result {
    let event = get(event)?;
    capture::forbid_unsafe(&event.context)?;
    let is_done = event.place()?.is_none_or(|place| place.is_done());
    event.context.check()?;
    if is_done { Ok(()) } else { Err(Code::NotReady) }
}

/// `cuEventSynchronize`
pub(crate) fn synchronize(event: Handle) -> Result {
    let event = get(event)?;
    capture::forbid_unsafe(&event.context)?;
    counts::SYNCS.add();
    if let Some(place) = event.place()? {
        place.wait();
    }
    event.context.check()
}

/// `cuEventElapsedTime`: time that passed on the host, in ms.
pub(crate) fn elapsed(out: Out<f32>, start: Handle, end: Handle) -> Result {
    let (start, end) = (get(start)?, get(end)?);
    let (start, end) = (start.time()?, end.time()?);
    let after = end.saturating_duration_since(start).as_secs_f32();
    let before = start.saturating_duration_since(end).as_secs_f32();
    out.set((after - before) * 1e3)
}

/// `cuStreamWaitEvent`
pub(crate) fn wait(stream: Handle, event: Handle, flags: u32) -> Result {
    let stream = stream::get(stream)?;
    let event = get(event)?;
    if flags > 1 {
        return Err(Code::InvalidValue);
    }
    let last = event.last.lock();
    if let Some(capture) = &last.capture {
        return join(&stream, capture);
    }
    let Some(place) = last.place.clone() else { return Ok(()) };
    drop(last);
    if let Some(capture) = &*stream.capture.lock() {
        capture.invalidate();
        return Err(Code::CaptureIsolation);
    }
    if !place.is_done() {
        stream.submit(Task::Wait(place));
    }
    Ok(())
}

/// A stream that waits for recorded work is recorded too.
fn join(stream: &Stream, capture: &Arc<Capture>) -> Result {
    if capture.is_ended() {
        return Err(Code::CapturedEvent);
    }
    if stream.kind == Kind::Legacy {
        capture.invalidate();
        return Err(Code::CaptureImplicit);
    }
    let mut current = stream.capture.lock();
    match &*current {
        Some(own) if Arc::ptr_eq(own, capture) => Ok(()),
        Some(own) => {
            own.invalidate();
            capture.invalidate();
            Err(Code::CaptureMerge)
        }
        None => {
            *current = Some(Arc::clone(capture));
            Ok(())
        }
    }
}
