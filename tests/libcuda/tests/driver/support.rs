//! A fresh context for each test, and short words for what tests do.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::sys::CUlaunchAttributeValue_union as CUlaunchAttributeValue;
use cudarc::driver::sys::{self, CUlaunchAttributeID, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaStream, DriverError, LaunchConfig};
use cudarc::driver::{PushKernelArg, result};
use offramp_libcuda::{SimCounts, Simulator};

/// The kernels of the tests.
pub(crate) const PTX: &str = include_str!("kernels.ptx");

/// Counts and the primary context are the process's: one test at a time.
static TURN: Mutex<()> = Mutex::new(());

/// A test's turn. Streams and memory made in it must go before it.
pub(crate) struct Session {
    pub(crate) context: Arc<CudaContext>,
    pub(crate) simulator: Simulator,
    _turn: MutexGuard<'static, ()>,
}

impl Session {
    /// Waits for its turn; the context is fresh, the counts are zero.
    pub(crate) fn begin() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let simulator = Simulator::load().unwrap();
        let context = CudaContext::new(0).unwrap();
        // SAFETY: tests order their streams themselves.
        unsafe { context.disable_event_tracking() };
        simulator.reset();
        Self { context, simulator, _turn: turn }
    }

    /// A kernel of [`PTX`].
    pub(crate) fn kernel(&self, name: &str) -> CudaFunction {
        self.context.load_module(PTX.into()).unwrap().load_function(name).unwrap()
    }

    /// What the driver was asked since the last look.
    pub(crate) fn counts(&self) -> SimCounts {
        let counts = self.simulator.counts();
        self.simulator.reset();
        counts
    }
}

/// Mapped, pinned words.
pub(crate) struct Pinned {
    words: *mut u32,
    len: usize,
}

impl Pinned {
    /// Zeros.
    pub(crate) fn new(len: usize) -> Self {
        let flags = sys::CU_MEMHOSTALLOC_DEVICEMAP | sys::CU_MEMHOSTALLOC_PORTABLE;
        // SAFETY: the memory lives until this is dropped.
        let words = unsafe { result::malloc_host(len * 4, flags) }.unwrap().cast();
        let pinned = Self { words, len };
        pinned.words().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        pinned
    }

    /// The words, which kernels and copies may touch at any time.
    pub(crate) fn words(&self) -> &[AtomicU32] {
        // SAFETY: that many words lie there, and all access on the host is atomic.
        unsafe { std::slice::from_raw_parts(self.words.cast(), self.len) }
    }

    pub(crate) fn set(&self, value: u32) {
        self.words().iter().for_each(|word| word.store(value, Ordering::Relaxed));
    }

    pub(crate) fn get(&self) -> Vec<u32> {
        self.words().iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }

    pub(crate) fn host(&self) -> *mut c_void {
        self.words.cast()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len * 4
    }

    /// Where the device sees them.
    pub(crate) fn device(&self) -> u64 {
        let mut address = 0;
        // SAFETY: there is room for an address.
        check(unsafe { sys::cuMemHostGetDevicePointer_v2(&raw mut address, self.host(), 0) });
        address
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: it is from `malloc_host`. A context with a fault refuses, and frees it later.
        let _ = unsafe { result::free_host(self.host()) };
    }
}

/// A kernel that holds a stream up until it is opened.
pub(crate) struct Gate {
    slot: Pinned,
}

impl Gate {
    /// Puts the kernel into `stream` and waits until it runs.
    pub(crate) fn close(session: &Session, stream: &Arc<CudaStream>) -> Self {
        let slot = Pinned::new(2);
        let address = slot.device();
        let kernel = session.kernel("gate");
        let mut launch = stream.launch_builder(&kernel);
        // SAFETY: the slot holds both words and lives until the gate is opened.
        unsafe { launch.arg(&address).launch(shape(1, 1)) }.unwrap();
        while slot.words()[0].load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        Self { slot }
    }

    /// 1 while the kernel runs, 2 when it has passed.
    pub(crate) fn state(&self) -> u32 {
        self.slot.words()[0].load(Ordering::Acquire)
    }

    pub(crate) fn open(&self) {
        self.slot.words()[1].store(1, Ordering::Release);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // A test that fails must not leave the stream stuck.
        self.open();
    }
}

/// A launch along one axis.
pub(crate) fn shape(grid: u32, block: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: 0 }
}

/// Launches one thread of a kernel of two addresses, with programmatic stream serialisation.
pub(crate) fn launch_early(
    stream: &CudaStream,
    kernel: &CudaFunction,
    addresses: [u64; 2],
) -> CUresult {
    let id = CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    let value = CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 };
    launch_with(stream, kernel, 0, (id, value), &addresses)
}

/// Launches one thread of a kernel of these addresses, with so many bytes of dynamic shared memory
/// and one attribute.
pub(crate) fn launch_with(
    stream: &CudaStream,
    kernel: &CudaFunction,
    shared_bytes: u32,
    (id, value): (CUlaunchAttributeID, CUlaunchAttributeValue),
    addresses: &[u64],
) -> CUresult {
    let mut attribute = sys::CUlaunchAttribute { id, pad: [0; 4], value };
    let config = sys::CUlaunchConfig {
        gridDimX: 1,
        gridDimY: 1,
        gridDimZ: 1,
        blockDimX: 1,
        blockDimY: 1,
        blockDimZ: 1,
        sharedMemBytes: shared_bytes,
        hStream: stream.cu_stream(),
        attrs: &raw mut attribute,
        numAttrs: 1,
    };
    let pointer = |address: &u64| std::ptr::from_ref(address).cast_mut().cast();
    let mut params: Vec<_> = addresses.iter().map(pointer).collect();
    let (function, extra) = (kernel.cu_function(), std::ptr::null_mut());
    // SAFETY: the kernel takes these addresses; one attribute is given.
    unsafe { sys::cuLaunchKernelEx(&raw const config, function, params.as_mut_ptr(), extra) }
}

/// Launches `scale` over `n` values, 64 to a block.
pub(crate) fn scale(
    stream: &Arc<CudaStream>,
    kernel: &CudaFunction,
    values: u64,
    n: u32,
    factor: f32,
) -> Result<(), DriverError> {
    let mut launch = stream.launch_builder(kernel);
    launch.arg(&values).arg(&n).arg(&factor);
    // SAFETY: the interpreter checks every access.
    unsafe { launch.launch(shape(n.div_ceil(64), 64)) }.map(|_| ())
}

/// Device memory, as an address.
pub(crate) fn alloc(bytes: usize) -> u64 {
    // SAFETY: nothing reads it before it is written.
    unsafe { result::malloc_sync(bytes) }.unwrap()
}

/// Puts a copy from pinned memory into `stream`.
pub(crate) fn upload(stream: &CudaStream, to: u64, from: &Pinned) -> CUresult {
    let (host, bytes) = (from.host(), from.bytes());
    // SAFETY: the memory is pinned and outlives the copy.
    unsafe { sys::cuMemcpyHtoDAsync_v2(to, host, bytes, stream.cu_stream()) }
}

/// Puts a copy to pinned memory into `stream`.
pub(crate) fn download(stream: &CudaStream, to: &Pinned, from: u64) -> CUresult {
    let (host, bytes) = (to.host(), to.bytes());
    // SAFETY: the memory is pinned and outlives the copy.
    unsafe { sys::cuMemcpyDtoHAsync_v2(host, from, bytes, stream.cu_stream()) }
}

/// Whether everything in `stream` has run.
pub(crate) fn query(stream: &CudaStream) -> CUresult {
    // SAFETY: a stream of the current context.
    unsafe { sys::cuStreamQuery(stream.cu_stream()) }
}

/// Fails the test unless the call succeeded.
pub(crate) fn check(result: CUresult) {
    assert_eq!(result, CUresult::CUDA_SUCCESS);
}

/// The code of a call that failed.
pub(crate) fn code<T>(result: Result<T, DriverError>) -> CUresult {
    result.err().map_or(CUresult::CUDA_SUCCESS, |error| error.0)
}

/// An attribute of the device.
pub(crate) fn attribute(context: &CudaContext, attribute: sys::CUdevice_attribute) -> c_int {
    context.attribute(attribute).unwrap()
}
