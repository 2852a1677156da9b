//! What goes wrong in a kernel, and what is refused before one runs.

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{LaunchConfig, PushKernelArg, result};

use crate::support::{Gate, Pinned, Session, alloc, check, code, query, scale, shape, upload};

const FAILED: CUresult = CUresult::CUDA_ERROR_LAUNCH_FAILED;

#[test]
fn an_access_out_of_bounds_ends_the_context() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("scale");
    let host = Pinned::new(8);
    let device = alloc(32);
    check(upload(&stream, device, &host));
    let gate = Gate::close(&session, &stream);
    // As on a GPU the launch itself succeeds: the fault comes later.
    scale(&stream, &kernel, device, 9, 2.0).unwrap();
    assert_eq!(query(&stream), CUresult::CUDA_ERROR_NOT_READY);
    gate.open();
    assert_eq!(code(stream.synchronize()), FAILED);
    assert_eq!(code(scale(&stream, &kernel, device, 1, 2.0)), FAILED);
    assert_eq!(code(result::mem_get_info()), FAILED);
    // SAFETY: nothing is allocated.
    assert_eq!(code(unsafe { result::malloc_sync(4) }), FAILED);
    assert_eq!(query(&stream), FAILED);
    assert_eq!(code(session.context.new_stream()), FAILED);
}

#[test]
fn a_new_context_begins_without_the_fault() {
    for _ in 0..2 {
        let session = Session::begin();
        let stream = session.context.new_stream().unwrap();
        let kernel = session.kernel("scale");
        scale(&stream, &kernel, 0x40, 1, 2.0).unwrap();
        assert_eq!(code(session.context.synchronize()), FAILED);
    }
}

#[test]
fn reading_what_nobody_wrote_is_a_fault() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("scale");
    let device = alloc(4);
    let gate = Gate::close(&session, &stream);
    scale(&stream, &kernel, device, 1, 2.0).unwrap();
    let event = stream.record_event(None).unwrap();
    gate.open();
    assert_eq!(code(event.synchronize()), FAILED);
}

#[test]
fn memory_freed_too_early_is_a_fault() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let other = session.context.new_stream().unwrap();
    let host = Pinned::new(1);
    let device = alloc(4);
    let gate = Gate::close(&session, &stream);
    check(upload(&stream, device, &host));
    // SAFETY: the interpreter finds out that the copy still needs it.
    unsafe { result::free_async(device, other.cu_stream()) }.unwrap();
    other.synchronize().unwrap();
    gate.open();
    assert_eq!(code(stream.synchronize()), CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
}

#[test]
fn launches_of_the_wrong_shape_are_refused() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let (scale, shared) = (session.kernel("scale"), session.kernel("shared_word"));
    let invalid = CUresult::CUDA_ERROR_INVALID_VALUE;
    let deep = LaunchConfig { grid_dim: (1, 1, 65_536), ..shape(1, 32) };
    let thick = LaunchConfig { block_dim: (1, 1, 65), ..shape(1, 1) };
    let wide = LaunchConfig { block_dim: (64, 32, 1), ..shape(1, 1) };
    let greedy = LaunchConfig { shared_mem_bytes: 48 * 1024 + 4, ..shape(1, 1) };
    let cases = [
        (&scale, shape(0, 64), invalid),
        (&scale, shape(1, 0), invalid),
        (&scale, deep, invalid),
        (&scale, thick, invalid),
        (&scale, wide, invalid),
        (&scale, shape(1, 65), CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES),
        (&shared, greedy, invalid),
    ];
    for (kernel, shape, expected) in cases {
        let (address, n, factor) = (0u64, 0u32, 1f32);
        let mut launch = stream.launch_builder(kernel);
        launch.arg(&address).arg(&n).arg(&factor);
        // SAFETY: the launch is refused.
        let refused = unsafe { launch.launch(shape) };
        assert_eq!(code(refused), expected, "{shape:?}");
    }
    stream.synchronize().unwrap();
}

#[test]
fn more_shared_memory_has_to_be_asked_for() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("shared_word");
    let result = Pinned::new(1);
    let address = result.device();
    let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    assert!(kernel.set_attribute(attribute, 227 * 1024 + 1).is_err());
    kernel.set_attribute(attribute, 227 * 1024).unwrap();
    let mut launch = stream.launch_builder(&kernel);
    let shape = LaunchConfig { shared_mem_bytes: 227 * 1024, ..shape(1, 1) };
    // SAFETY: the kernel writes one word.
    unsafe { launch.arg(&address).launch(shape) }.unwrap();
    stream.synchronize().unwrap();
    assert_eq!(result.get(), [77]);
}

#[test]
fn handles_that_are_none_are_refused() {
    let _session = Session::begin();
    let invalid = CUresult::CUDA_ERROR_INVALID_HANDLE;
    for bits in [2usize, 0x1234_5677, usize::MAX] {
        // SAFETY: handles are looked up, never followed.
        unsafe {
            assert_eq!(sys::cuStreamSynchronize(bits as _), invalid);
            assert_eq!(sys::cuStreamDestroy_v2(bits as _), invalid);
            assert_eq!(sys::cuEventQuery(bits as _), invalid);
            assert_eq!(sys::cuEventRecord(bits as _, std::ptr::null_mut()), invalid);
            assert_eq!(sys::cuModuleUnload(bits as _), invalid);
            assert_eq!(sys::cuGraphLaunch(bits as _, std::ptr::null_mut()), invalid);
            assert_eq!(sys::cuGraphDestroy(bits as _), invalid);
            let context = sys::cuCtxSetCurrent(bits as _);
            assert_eq!(context, CUresult::CUDA_ERROR_INVALID_CONTEXT);
        }
    }
    // SAFETY: null pointers are refused.
    unsafe {
        let null = CUresult::CUDA_ERROR_INVALID_VALUE;
        assert_eq!(sys::cuMemAlloc_v2(std::ptr::null_mut(), 4), null);
        assert_eq!(sys::cuStreamCreate(std::ptr::null_mut(), 0), null);
        assert_eq!(sys::cuModuleLoadData(&mut std::ptr::null_mut(), std::ptr::null()), null);
    }
}

#[test]
fn freeing_twice_is_refused() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let device = alloc(4);
    let gate = Gate::close(&session, &stream);
    // SAFETY: the second is refused.
    unsafe {
        result::free_async(device, stream.cu_stream()).unwrap();
        let again = result::free_async(device, stream.cu_stream());
        assert_eq!(code(again), CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    gate.open();
    stream.synchronize().unwrap();
}

#[test]
fn a_stream_is_no_event() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    // SAFETY: handles are looked up, never followed.
    let result = unsafe { sys::cuEventQuery(stream.cu_stream().cast()) };
    assert_eq!(result, CUresult::CUDA_ERROR_INVALID_HANDLE);
}
