//! A stream: the one that a device computes in, and the one that images go over in.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::result;
use cudarc::driver::sys::{self, CUlaunchAttribute as Attribute};

use super::driver::{Address, Context, During};
use super::event::Event;
use super::launch::{Launch, PARAMETERS_MAX};
use super::module::Function;
use crate::Result;

/// When a launch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// When all that stands in front of it has ended.
    Behind,
    /// Once the kernel in front of it lets it, and there is one: its kernel waits by itself.
    Early,
}

/// A queue of work, done in order.
pub(crate) struct Stream {
    raw: sys::CUstream,
    context: Arc<Context>,
    /// Whether something was enqueued since the last wait.
    is_busy: Cell<bool>,
}

// SAFETY: a handle, used under `Context::enter`.
unsafe impl Send for Stream {}

impl Stream {
    pub(super) fn new(context: &Arc<Context>) -> Result<Self> {
        context.enter()?;
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking);
        let (raw, context) = (raw.during("making a stream")?, Arc::clone(context));
        Ok(Self { raw, context, is_busy: Cell::new(false) })
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Waits until everything enqueued has run.
    pub(super) fn finish(&self) -> Result<()> {
        if !self.is_busy.get() {
            return Ok(());
        }
        self.context.enter()?;
        // SAFETY: the stream lives while `self` does.
        unsafe { result::stream::synchronize(self.raw) }.during("waiting for the device")?;
        self.is_busy.set(false);
        Ok(())
    }

    /// Whether everything enqueued has run.
    pub(super) fn is_done(&self) -> Result<bool> {
        self.context.enter()?;
        // SAFETY: the stream lives while `self` does.
        match unsafe { sys::cuStreamQuery(self.raw) } {
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            status => status.result().during("asking the device").map(|()| true),
        }
    }

    /// Sets bytes to zero, and waits.
    pub(super) fn clear(&self, at: Address, bytes: usize) -> Result<()> {
        self.is_busy.set(true);
        // SAFETY: callers pass blocks they own.
        unsafe { result::memset_d8_async(at, 0, bytes, self.raw) }.during("clearing memory")?;
        self.finish()
    }

    /// Copies to the device, and waits.
    pub(super) fn upload<T: Pod>(&self, at: Address, values: &[T]) -> Result<()> {
        self.context.enter()?;
        self.is_busy.set(true);
        // SAFETY: `at` has room, as callers have checked; the copy ends before `values` does.
        unsafe { result::memcpy_htod_async(at, values, self.raw) }
            .during("copying to the device")?;
        self.finish()
    }

    /// Copies from page-locked memory to the device when the stream gets there.
    ///
    /// # Safety
    /// `values` stay as they are until the stream has passed; `at` has room for them.
    pub(super) unsafe fn upload_later<T: Pod>(&self, at: Address, values: &[T]) -> Result<()> {
        self.context.enter()?;
        self.is_busy.set(true);
        // SAFETY: by this function's contract.
        unsafe { result::memcpy_htod_async(at, values, self.raw) }.during("copying to the device")
    }

    /// Has the device note when all that was enqueued so far has run.
    pub(super) fn mark(&self, event: &Event) -> Result<()> {
        self.context.enter()?;
        self.is_busy.set(true);
        // SAFETY: both live while their owners do.
        unsafe { result::event::record(event.raw, self.raw) }.during("marking a place")
    }

    /// Lets all that is enqueued from now on wait for an event of another stream.
    pub(super) fn wait_for(&self, event: &Event) -> Result<()> {
        use sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT as PLAIN;
        self.context.enter()?;
        self.is_busy.set(true);
        // SAFETY: as above.
        unsafe { result::stream::wait_event(self.raw, event.raw, PLAIN) }
            .during("waiting for another stream")
    }

    /// Copies from the device, and waits.
    pub(super) fn download<T: Pod>(&self, at: Address, values: &mut [T]) -> Result<()> {
        self.context.enter()?;
        self.is_busy.set(true);
        // SAFETY: `at` holds as many, as callers have checked; the copy ends before the borrow.
        unsafe { result::memcpy_dtoh_async(values, at, self.raw) }
            .during("copying from the device")?;
        self.finish()
    }

    /// Enqueues a kernel.
    pub(super) fn launch(&self, function: Function, launch: &Launch, begin: Begin) -> Result<()> {
        self.is_busy.set(true);
        let mut words = launch.arguments.words();
        let mut pointers = [std::ptr::null_mut::<c_void>(); PARAMETERS_MAX];
        for (pointer, word) in pointers.iter_mut().zip(&mut words) {
            *pointer = std::ptr::from_mut(word).cast();
        }
        let mut early = early();
        let config = self.config(launch, &mut early[..usize::from(begin == Begin::Early)]);
        let extra = std::ptr::null_mut();
        // SAFETY: the arguments match the kernel's parameters (tested against the PTX), their
        // addresses lie in blocks the device owns, and the driver copies them and the attributes
        // during the call.
        unsafe { sys::cuLaunchKernelEx(&config, function.0, pointers.as_mut_ptr(), extra) }
            .result()
            .during(launch.kernel.entry())
    }

    /// How a launch is made, with attributes that outlive it.
    fn config(&self, launch: &Launch, attributes: &mut [Attribute]) -> sys::CUlaunchConfig {
        let [x, y, z] = launch.grid;
        sys::CUlaunchConfig {
            gridDimX: x,
            gridDimY: y,
            gridDimZ: z,
            blockDimX: launch.kernel.threads(),
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: launch.shared_bytes,
            hStream: self.raw,
            attrs: attributes.as_mut_ptr(),
            numAttrs: attributes.len() as u32,
        }
    }

    /// Records what `enqueue` enqueues, instead of running it; `None` where the device has no
    /// memory left for a graph.
    pub(super) fn record(&self, enqueue: impl FnOnce() -> Result<()>) -> Result<Option<Graph>> {
        use sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL as MODE;
        // SAFETY: the stream lives while `self` does.
        unsafe { result::stream::begin_capture(self.raw, MODE) }.during("recording a graph")?;
        let enqueued = enqueue();
        // SAFETY: capture began above and ends here on every path.
        let captured = unsafe { result::stream::end_capture(self.raw) };
        let captured = captured.during("recording a graph").map(Template);
        enqueued?;
        let ready = captured?.instantiate()?;
        Ok(ready.map(|raw| Graph { raw, context: Arc::clone(&self.context) }))
    }

    /// Enqueues all that a graph recorded.
    pub(super) fn replay(&self, graph: &Graph) -> Result<()> {
        self.is_busy.set(true);
        // SAFETY: both live while their owners do.
        unsafe { result::graph::launch(graph.raw, self.raw) }.during("launching a graph")
    }
}

/// What lets a launch begin early, if its kernel is told so: programmatic stream serialisation.
fn early() -> [Attribute; 1] {
    use sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION as EARLY;
    let value = sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 };
    [Attribute { id: EARLY, pad: [0; 4], value }]
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { result::stream::destroy(self.raw) };
        }
    }
}

/// What a capture gives: launches that are not ready to run yet.
struct Template(sys::CUgraph);

impl Template {
    /// `None` where the device has no memory left for it.
    fn instantiate(&self) -> Result<Option<sys::CUgraphExec>> {
        use sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY as FULL;
        let flags = sys::CUgraphInstantiate_flags(0);
        // SAFETY: the graph lives while `self` does.
        match unsafe { result::graph::instantiate(self.0, flags) } {
            Err(error) if error.0 == FULL => Ok(None),
            ready => ready.during("preparing a graph").map(Some),
        }
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // SAFETY: made by a capture, destroyed once; what was instantiated of it lives on. Its
        // context is current, as it is during a recording.
        let _ = unsafe { result::graph::destroy(self.0) };
    }
}

/// A recorded sequence of launches.
pub(super) struct Graph {
    raw: sys::CUgraphExec,
    context: Arc<Context>,
}

// SAFETY: a handle, used under `Context::enter` by the thread that owns the device.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { result::graph::exec_destroy(self.raw) };
        }
    }
}
