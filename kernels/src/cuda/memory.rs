//! Memory of the device, and memory of the host that the device reaches.

use std::ffi::c_void;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::{DriverError, result, sys};

use super::driver::{Address, Context, During};
use super::stream::Stream;
use crate::{Error, Result};

/// A block of device memory.
pub(crate) struct DeviceMemory {
    address: Address,
    bytes: usize,
    context: Arc<Context>,
}

impl DeviceMemory {
    /// Room for `bytes` bytes of any content.
    pub(super) fn new(stream: &Stream, what: &'static str, bytes: usize) -> Result<Self> {
        let context = Arc::clone(stream.context());
        context.enter()?;
        // The driver knows no empty blocks, and what it says of absurd ones varies.
        let bytes = bytes.max(16);
        if bytes > context.memory_bytes() {
            return Err(Error::OutOfMemory { what, bytes });
        }
        // SAFETY: the context is current; the block is freed once, in `drop`.
        let address = unsafe { result::malloc_sync(bytes) }.or_room(what, bytes)?;
        Ok(Self { address, bytes, context })
    }

    /// Room for `bytes` zeros.
    pub(super) fn zeroed(stream: &Stream, what: &'static str, bytes: usize) -> Result<Self> {
        let memory = Self::new(stream, what, bytes)?;
        stream.clear(memory.address, memory.bytes)?;
        Ok(memory)
    }

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: allocated in `new`; whoever owns it has waited for the stream.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// Page-locked host memory that the device reads and writes in place, zero at first.
pub(crate) struct MappedMemory<T> {
    host: *mut T,
    device: Address,
    len: usize,
    context: Arc<Context>,
}

// SAFETY: it owns its memory like a boxed slice, and the context is entered before use.
unsafe impl<T: Pod + Send> Send for MappedMemory<T> {}

impl<T: Pod> MappedMemory<T> {
    pub(super) fn new(stream: &Stream, what: &'static str, len: usize) -> Result<Self> {
        let context = Arc::clone(stream.context());
        context.enter()?;
        let len = len.max(1);
        let bytes = len.saturating_mul(size_of::<T>());
        let flags = sys::CU_MEMHOSTALLOC_DEVICEMAP | sys::CU_MEMHOSTALLOC_PORTABLE;
        // SAFETY: the context is current; the block is freed once, in `drop`.
        let host = unsafe { result::malloc_host(bytes, flags) }.or_room(what, bytes)?;
        // SAFETY: the driver gave `bytes` bytes, and any bytes are a `T`.
        unsafe { std::ptr::write_bytes(host.cast::<u8>(), 0, bytes) };
        let mut memory = Self { host: host.cast(), device: 0, len, context };
        // SAFETY: `host` is a mapped block; the driver writes one address.
        let mapped = unsafe { sys::cuMemHostGetDevicePointer_v2(&mut memory.device, host, 0) };
        mapped.result().during("mapping host memory")?;
        Ok(memory)
    }

    /// Where the device sees element `index`.
    pub(crate) fn address(&self, index: usize) -> Address {
        self.device + (index * size_of::<T>()) as u64
    }

    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Element `index` as a pointer, for memory that the device may be writing.
    ///
    /// # Panics
    /// Beyond the end.
    pub(crate) fn pointer(&self, index: usize) -> *mut T {
        assert!(index < self.len, "invariant: records lie in their table");
        // SAFETY: in bounds as just checked.
        unsafe { self.host.add(index) }
    }

    /// The elements, to the device's exclusion.
    ///
    /// # Safety
    /// The device writes none of them while the slice lives.
    pub(crate) unsafe fn slice(&self, at: usize, len: usize) -> &[T] {
        assert!(at <= self.len && len <= self.len - at, "invariant: parts lie in the memory");
        // SAFETY: in bounds, and unwritten by this function's contract.
        unsafe { std::slice::from_raw_parts(self.host.add(at), len) }
    }

    /// Some of the elements, to write.
    ///
    /// # Safety
    /// The device neither reads nor writes any of those while the slice lives.
    pub(crate) unsafe fn part_mut(&mut self, at: usize, len: usize) -> &mut [T] {
        assert!(at <= self.len && len <= self.len - at, "invariant: parts lie in the memory");
        // SAFETY: in bounds, and exclusive by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.host.add(at), len) }
    }
}

impl<T> Drop for MappedMemory<T> {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: allocated in `new`; whoever owns it has waited for the stream.
            let _ = unsafe { result::free_host(self.host.cast::<c_void>()) };
        }
    }
}

/// Turns "out of memory" into the error that says how much was wanted.
trait OrRoom<T> {
    fn or_room(self, what: &'static str, bytes: usize) -> Result<T>;
}

impl<T> OrRoom<T> for Result<T, DriverError> {
    fn or_room(self, what: &'static str, bytes: usize) -> Result<T> {
        match self {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(Error::OutOfMemory { what, bytes })
            }
            other => other.during(what),
        }
    }
}
