//! Allocating, releasing and copying.

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUresult};

use crate::support::{Pinned, Session, alloc, check, code, download};

const INVALID: CUresult = CUresult::CUDA_ERROR_INVALID_VALUE;

#[test]
fn memory_runs_out_and_comes_back() {
    let _session = Session::begin();
    let (free, total) = result::mem_get_info().unwrap();
    assert_eq!(free, total);
    // SAFETY: nothing touches the memory.
    unsafe {
        let refused = result::malloc_sync(total + 1);
        assert_eq!(code(refused), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(code(result::malloc_sync(usize::MAX)), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert_eq!(code(result::malloc_sync(0)), INVALID);
        let block = result::malloc_sync(1 << 20).unwrap();
        assert_eq!(result::mem_get_info().unwrap().0, total - (1 << 20));
        result::free_sync(block).unwrap();
        assert_eq!(result::mem_get_info().unwrap().0, total);
        assert_eq!(code(result::free_sync(block)), INVALID);
    }
}

#[test]
fn stream_ordered_memory_goes_when_the_stream_gets_there() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    // SAFETY: nothing touches the memory.
    unsafe {
        let block = result::malloc_async(stream.cu_stream(), 64).unwrap();
        result::free_async(block, stream.cu_stream()).unwrap();
        stream.synchronize().unwrap();
        assert_eq!(code(result::free_async(block, stream.cu_stream())), INVALID);
    }
}

#[test]
fn copies_stay_within_a_block() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let device = alloc(16);
    let mut host = [1u32; 5];
    // SAFETY: copies out of bounds are refused.
    unsafe {
        result::memcpy_htod_sync(device, &host[..4]).unwrap();
        assert_eq!(code(result::memcpy_htod_sync(device, &host)), INVALID);
        assert_eq!(code(result::memcpy_dtoh_sync(&mut host, device)), INVALID);
        assert_eq!(code(result::memset_d8_async(device, 0, 17, stream.cu_stream())), INVALID);
        assert_eq!(
            code(result::memcpy_dtod_async(device + 8, device, 12, stream.cu_stream())),
            INVALID
        );
        assert_eq!(sys::cuMemsetD32Async(device + 2, 0, 1, stream.cu_stream()), INVALID);
        result::memcpy_dtod_async(device + 8, device, 8, stream.cu_stream()).unwrap();
        result::memset_d8_async(device, 2, 4, stream.cu_stream()).unwrap();
        stream.synchronize().unwrap();
        result::memcpy_dtoh_sync(&mut host[..4], device).unwrap();
    }
    assert_eq!(host, [0x0202_0202, 1, 1, 1, 1]);
}

#[test]
fn mapped_memory_is_the_same_on_both_sides() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let (first, second) = (Pinned::new(2), Pinned::new(2));
    first.set(8);
    check(download(&stream, &second, first.device()));
    stream.synchronize().unwrap();
    assert_eq!(second.get(), [8, 8]);
    let mut flags = 0;
    // SAFETY: there is room for the flags.
    check(unsafe { sys::cuMemHostGetFlags(&raw mut flags, second.host()) });
    assert_eq!(flags, sys::CU_MEMHOSTALLOC_DEVICEMAP | sys::CU_MEMHOSTALLOC_PORTABLE);
    let mut address = 0;
    let stack = (&raw mut flags).cast();
    // SAFETY: memory that is not pinned is refused.
    let refused = unsafe { sys::cuMemHostGetDevicePointer_v2(&raw mut address, stack, 0) };
    assert_eq!(refused, INVALID);
}
