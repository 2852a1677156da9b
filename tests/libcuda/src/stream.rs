//! Calls on streams.

use std::sync::Arc;

use crate::capture;
use crate::context::Context;
use crate::counts::{self, Counter};
use crate::error::{Code, Result};
use crate::ffi::{Handle, Out};
use crate::table::Table;
use crate::work::{Task, Work};
use crate::worker::{Kind, Stream};

/// Streams of all contexts, the default ones aside.
pub(crate) static STREAMS: Table<Stream> = Table::new();

/// `CU_STREAM_NON_BLOCKING`
const NON_BLOCKING: u32 = 1;

/// The stream of a handle; 0 and 1 mean the default stream of the current context.
pub(crate) fn get(stream: Handle) -> Result<Arc<Stream>> {
    let stream = match stream {
        Handle(0 | 1) => Context::current()?.legacy()?,
        _ => STREAMS.get(stream)?,
    };
    stream.context.check()?;
    Ok(stream)
}

/// Puts work into a stream, or into the graph the stream is recorded to.
pub(crate) fn issue(stream: &Arc<Stream>, work: Work, counter: &Counter) -> Result {
    let capture = stream.capture.lock().clone();
    if let Some(capture) = capture {
        return capture.record([work]);
    }
    capture::forbid_default(stream)?;
    counter.add();
    stream.submit(Task::Work(work));
    Ok(())
}

/// Fails, and spoils the capture, where the stream is recorded.
pub(crate) fn forbid_capture(stream: &Stream) -> Result {
    match &*stream.capture.lock() {
        None => Ok(()),
        Some(capture) => {
            capture.invalidate();
            Err(Code::CaptureUnsupported)
        }
    }
}

/// `cuStreamCreate`
pub(crate) fn create(out: Out<Handle>, flags: u32) -> Result {
    let context = Context::current()?;
    out.check()?;
    let kind = match flags {
        0 => Kind::Blocking,
        NON_BLOCKING => Kind::NonBlocking,
        _ => return Err(Code::InvalidValue),
    };
    out.set(STREAMS.insert(Stream::start(&context, kind)?))
}

/// `cuStreamDestroy`: work in it still runs.
pub(crate) fn destroy(stream: Handle) -> Result {
    let stream = STREAMS.remove(stream)?;
    if let Some(capture) = stream.capture.lock().take() {
        capture.invalidate();
    }
    stream.close();
    stream.context.check()
}

/// `cuStreamSynchronize`
pub(crate) fn synchronize(stream: Handle) -> Result {
    let stream = get(stream)?;
    forbid_capture(&stream)?;
    capture::forbid_default(&stream)?;
    counts::SYNCS.add();
    stream.wait();
    stream.context.check()
}

/// `cuStreamQuery`
pub(crate) fn query(stream: Handle) -> Result {
    let stream = get(stream)?;
    forbid_capture(&stream)?;
    let is_idle = stream.is_idle();
    stream.context.check()?;
    if is_idle { Ok(()) } else { Err(Code::NotReady) }
}
