//! The context of a device: its memory, its streams, and the fault that ends it.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::capture::{self, Capture};
use crate::complain::complain;
use crate::counts;
use crate::device;
use crate::error::{Code, Result};
use crate::ffi::{Handle, Out};
use crate::heap::Heap;
use crate::settings::SETTINGS;
use crate::table::Table;
use crate::worker::{Kind, Stream};
use crate::{event, function, graph, module, stream};

static CONTEXTS: Table<Context> = Table::new();

thread_local! {
    static CURRENT: Cell<Handle> = const { Cell::new(Handle(0)) };
}

/// What a device does for one program.
pub(crate) struct Context {
    /// Ordinal of its device.
    pub(crate) device: i32,
    pub(crate) heap: Heap,
    /// Set once, by the first work that fails; nothing runs after it.
    fault: OnceLock<Code>,
    /// Streams whose threads live, the legacy default stream first.
    pub(crate) streams: Mutex<Vec<Arc<Stream>>>,
    /// Captures under way.
    pub(crate) captures: Mutex<Vec<Arc<Capture>>>,
}

impl Context {
    /// A fresh context and its handle.
    pub(crate) fn create(device: i32) -> Result<Handle> {
        let context = Arc::new(Self {
            device,
            heap: Heap::new(SETTINGS.memory_bytes),
            fault: OnceLock::new(),
            streams: Mutex::default(),
            captures: Mutex::default(),
        });
        Stream::start(&context, Kind::Legacy)?;
        counts::CONTEXTS.add();
        Ok(CONTEXTS.insert(context))
    }

    /// The context of a handle.
    pub(crate) fn get(handle: Handle) -> Result<Arc<Self>> {
        CONTEXTS.get(handle).map_err(|_| Code::InvalidContext)
    }

    /// The current context of this thread; fails where there is none or a fault has ended it.
    pub(crate) fn current() -> Result<Arc<Self>> {
        device::check_ready()?;
        let context = Self::get(CURRENT.get())?;
        context.check()?;
        Ok(context)
    }

    /// Fails once work of the context has failed.
    pub(crate) fn check(&self) -> Result {
        self.fault.get().map_or(Ok(()), |&code| Err(code))
    }

    /// Ends the context: all its calls fail from now on.
    pub(crate) fn fail(&self, code: Code, why: &str) {
        complain(format_args!("{why}"));
        // The first fault is the one that counts.
        let _ = self.fault.set(code);
    }

    /// The legacy default stream.
    pub(crate) fn legacy(&self) -> Result<Arc<Stream>> {
        self.streams.lock().first().cloned().ok_or(Code::InvalidContext)
    }

    /// Waits until all streams are idle; fails if any work ever failed.
    pub(crate) fn wait(&self) -> Result {
        let streams = self.streams.lock().clone();
        streams.iter().for_each(|stream| stream.wait());
        self.check()
    }

    /// Finishes all work and forgets everything in the context.
    pub(crate) fn destroy(handle: Handle) -> Result {
        let context = CONTEXTS.remove(handle).map_err(|_| Code::InvalidContext)?;
        // A fault was told where it mattered.
        let _ = context.wait();
        context.captures.lock().clear();
        let streams = context.streams.lock().clone();
        streams.iter().for_each(|stream| stream.close());
        let is_other = |owner: &Arc<Self>| !Arc::ptr_eq(owner, &context);
        stream::STREAMS.retain(|stream| is_other(&stream.context));
        event::EVENTS.retain(|event| is_other(&event.context));
        module::MODULES.retain(|module| is_other(&module.context));
        function::FUNCTIONS.retain(|function| is_other(&function.context));
        graph::GRAPHS.retain(|graph| is_other(&graph.context));
        graph::EXECS.retain(|exec| is_other(&exec.context));
        Ok(())
    }
}

/// `cuCtxSetCurrent`
pub(crate) fn set_current(context: Handle) -> Result {
    device::check_ready()?;
    if context != Handle(0) {
        Context::get(context)?;
    }
    CURRENT.set(context);
    Ok(())
}

/// `cuCtxGetCurrent`
pub(crate) fn get_current(out: Out<Handle>) -> Result {
    device::check_ready()?;
    let current = CURRENT.get();
    out.set(Context::get(current).map_or(Handle(0), |_| current))
}

/// `cuCtxGetDevice`
pub(crate) fn get_device(out: Out<i32>) -> Result {
    out.set(Context::current()?.device)
}

/// `cuCtxSetFlags`: how the host waits is the same for all flags.
pub(crate) fn set_flags(_flags: u32) -> Result {
    Context::current().map(|_| ())
}

/// `cuCtxSynchronize`
pub(crate) fn synchronize() -> Result {
    let context = Context::current()?;
    capture::forbid_waiting(&context)?;
    counts::SYNCS.add();
    context.wait()
}

/// `cuCtxGetStreamPriorityRange`: priorities are taken and change nothing.
pub(crate) fn priority_range(least: Out<i32>, greatest: Out<i32>) -> Result {
    Context::current()?;
    if !least.is_null() {
        least.set(0)?;
    }
    if !greatest.is_null() {
        greatest.set(-5)?;
    }
    Ok(())
}
