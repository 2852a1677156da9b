//! Work recorded into a graph instead of run.

use std::sync::{Arc, Weak};
use std::thread::ThreadId;

use parking_lot::Mutex;

use crate::context::Context;
use crate::counts;
use crate::error::{Code, Result};
use crate::ffi::{Handle, Out};
use crate::graph::{GRAPHS, Graph};
use crate::stream;
use crate::work::Work;
use crate::worker::{Kind, Stream};

/// A capture under way.
pub(crate) struct Capture {
    mode: Mode,
    thread: ThreadId,
    origin: Weak<Stream>,
    state: Mutex<State>,
}

/// Whom a capture forbids calls that may wait for the device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Everyone,
    ItsThread,
    Nobody,
}

enum State {
    /// Recording, in an order that keeps all dependencies.
    Active(Vec<Work>),
    /// A forbidden call came in between.
    Invalid,
    Ended,
}

impl Capture {
    /// Adds work at the end.
    pub(crate) fn record(&self, work: impl IntoIterator<Item = Work>) -> Result {
        match &mut *self.state.lock() {
            State::Active(nodes) => {
                let before = nodes.len();
                nodes.extend(work);
                (before..nodes.len()).for_each(|_| counts::CAPTURED.add());
                Ok(())
            }
            _ => Err(Code::CaptureInvalidated),
        }
    }

    /// Whether it has ended.
    pub(crate) fn is_ended(&self) -> bool {
        matches!(*self.state.lock(), State::Ended)
    }

    /// Spoils it: its graph will not be.
    pub(crate) fn invalidate(&self) {
        *self.state.lock() = State::Invalid;
    }

    fn forbids_this_thread(&self) -> bool {
        match self.mode {
            Mode::Everyone => true,
            Mode::ItsThread => self.thread == std::thread::current().id(),
            Mode::Nobody => false,
        }
    }
}

/// Spoils the captures that `concerns` and fails if there are any.
fn forbid_if(context: &Context, code: Code, concerns: impl Fn(&Capture) -> bool) -> Result {
    let captures = context.captures.lock().clone();
    let mut concerned = captures.iter().filter(|capture| concerns(capture)).peekable();
    if concerned.peek().is_none() {
        return Ok(());
    }
    concerned.for_each(|capture| capture.invalidate());
    Err(code)
}

/// Fails where a capture forbids calls that may wait for the device, such as allocating.
pub(crate) fn forbid_unsafe(context: &Context) -> Result {
    forbid_if(context, Code::CaptureUnsupported, Capture::forbids_this_thread)
}

/// Fails where waiting for the whole context would wait for a capture.
pub(crate) fn forbid_waiting(context: &Context) -> Result {
    forbid_if(context, Code::CaptureUnsupported, |_| true)
}

/// Fails where work in the default stream would depend on a capture.
pub(crate) fn forbid_default(stream: &Stream) -> Result {
    if stream.kind != Kind::Legacy {
        return Ok(());
    }
    forbid_if(&stream.context, Code::CaptureImplicit, |capture| {
        capture.origin.upgrade().is_some_and(|origin| origin.kind == Kind::Blocking)
    })
}

/// `cuStreamBeginCapture`
pub(crate) fn begin(stream: Handle, mode: i32) -> Result {
    let stream = stream::get(stream)?;
    let mode = match mode {
        0 => Mode::Everyone,
        1 => Mode::ItsThread,
        2 => Mode::Nobody,
        _ => return Err(Code::InvalidValue),
    };
    if stream.kind == Kind::Legacy {
        return Err(Code::CaptureUnsupported);
    }
    let mut current = stream.capture.lock();
    if current.is_some() {
        return Err(Code::IllegalState);
    }
    let capture = Arc::new(Capture {
        mode,
        thread: std::thread::current().id(),
        origin: Arc::downgrade(&stream),
        state: Mutex::new(State::Active(Vec::new())),
    });
    *current = Some(Arc::clone(&capture));
    stream.context.captures.lock().push(capture);
    Ok(())
}

/// `cuStreamEndCapture`
pub(crate) fn end(stream: Handle, out: Out<Handle>) -> Result {
    let stream = stream::get(stream)?;
    out.set(Handle(0))?;
    let capture = stream.capture.lock().clone().ok_or(Code::IllegalState)?;
    if !std::ptr::eq(capture.origin.as_ptr(), &*stream) {
        return Err(Code::CaptureUnmatched);
    }
    if capture.mode != Mode::Nobody && capture.thread != std::thread::current().id() {
        return Err(Code::CaptureWrongThread);
    }
    leave(&stream.context, &capture);
    let state = std::mem::replace(&mut *capture.state.lock(), State::Ended);
    let State::Active(nodes) = state else { return Err(Code::CaptureInvalidated) };
    let graph = Graph { context: Arc::clone(&stream.context), nodes: nodes.into() };
    out.set(GRAPHS.insert(Arc::new(graph)))
}

/// Takes all streams out of a capture.
fn leave(context: &Context, capture: &Arc<Capture>) {
    context.captures.lock().retain(|other| !Arc::ptr_eq(other, capture));
    for stream in &*context.streams.lock() {
        let mut current = stream.capture.lock();
        current.take_if(|current| Arc::ptr_eq(current, capture));
    }
}

/// `cuStreamIsCapturing`
pub(crate) fn status(stream: Handle, out: Out<i32>) -> Result {
    let stream = stream::get(stream)?;
    let capture = stream.capture.lock().clone();
    out.set(match capture {
        None => 0,
        Some(capture) if matches!(*capture.state.lock(), State::Active(_)) => 1,
        Some(_) => 2,
    })
}
