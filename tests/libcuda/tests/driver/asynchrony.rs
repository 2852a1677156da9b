//! What runs beside the host, and what waits for what.

use std::sync::atomic::Ordering;

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUevent_flags, CUresult};

use crate::support::{Gate, Pinned, Session, alloc, check, download, query, scale, upload};

#[test]
fn a_kernel_runs_and_its_results_come_back() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("scale");
    let values: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let device = stream.clone_htod(&values).unwrap();
    let (address, _guard) = cudarc::driver::DevicePtr::device_ptr(&device, &stream);
    scale(&stream, &kernel, address, 100, 3.0).unwrap();
    let scaled = stream.clone_dtoh(&device).unwrap();
    assert!(values.iter().zip(&scaled).all(|(before, after)| before * 3.0 == *after));
}

#[test]
fn the_host_polls_mapped_memory_while_a_kernel_runs() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let gate = Gate::close(&session, &stream);
    assert_eq!(gate.state(), 1);
    assert_eq!(query(&stream), CUresult::CUDA_ERROR_NOT_READY);
    gate.open();
    while gate.state() != 2 {
        std::thread::yield_now();
    }
    stream.synchronize().unwrap();
    check(query(&stream));
}

#[test]
fn staging_overwritten_too_early_shows() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let (staging, result) = (Pinned::new(4), Pinned::new(4));
    let device = alloc(16);
    staging.set(7);
    let gate = Gate::close(&session, &stream);
    check(upload(&stream, device, &staging));
    check(download(&stream, &result, device));
    staging.set(9);
    assert_eq!(result.get(), [0; 4]);
    gate.open();
    stream.synchronize().unwrap();
    assert_eq!(result.get(), [9; 4]);
}

#[test]
fn pageable_memory_is_read_at_the_call() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let result = Pinned::new(4);
    let device = alloc(16);
    let gate = Gate::close(&session, &stream);
    let mut staging = [7u32; 4];
    // SAFETY: the device holds four words.
    unsafe { result::memcpy_htod_async(device, &staging, stream.cu_stream()) }.unwrap();
    staging.fill(9);
    check(download(&stream, &result, device));
    gate.open();
    stream.synchronize().unwrap();
    assert_eq!((staging, result.get()), ([9; 4], vec![7; 4]));
}

#[test]
fn a_stream_waits_for_an_event_of_another() {
    let session = Session::begin();
    let (first, second) =
        (session.context.new_stream().unwrap(), session.context.new_stream().unwrap());
    let (source, result) = (Pinned::new(1), Pinned::new(1));
    let device = alloc(4);
    source.set(5);
    let gate = Gate::close(&session, &first);
    check(upload(&first, device, &source));
    let event = first.record_event(None).unwrap();
    second.wait(&event).unwrap();
    check(download(&second, &result, device));
    assert!(!event.is_complete());
    assert_eq!(query(&second), CUresult::CUDA_ERROR_NOT_READY);
    gate.open();
    second.synchronize().unwrap();
    assert!(event.is_complete());
    assert_eq!(result.get(), [5]);
}

#[test]
fn streams_do_not_wait_for_one_another() {
    let session = Session::begin();
    let (held, free) =
        (session.context.new_stream().unwrap(), session.context.new_stream().unwrap());
    let result = Pinned::new(1);
    let device = alloc(4);
    let gate = Gate::close(&session, &held);
    // SAFETY: the device holds a word.
    check(unsafe { sys::cuMemsetD32Async(device, 3, 1, free.cu_stream()) });
    check(download(&free, &result, device));
    free.synchronize().unwrap();
    assert_eq!((result.get(), gate.state()), (vec![3], 1));
}

#[test]
fn the_default_stream_waits_for_blocking_streams_only() {
    let session = Session::begin();
    let default = session.context.default_stream();
    let free = session.context.new_stream().unwrap();
    let gate = Gate::close(&session, &free);
    check(query(&default));
    default.synchronize().unwrap();
    drop(gate);
    free.synchronize().unwrap();

    let slot = Pinned::new(2);
    let blocking = result::stream::create(result::stream::StreamKind::Default).unwrap();
    let (address, kernel) = (slot.device(), session.kernel("gate"));
    let mut params = [(&raw const address).cast_mut().cast()];
    // SAFETY: the kernel takes one address; the slot outlives it.
    unsafe {
        let function = kernel.cu_function();
        result::launch_kernel(function, (1, 1, 1), (1, 1, 1), 0, blocking, &mut params).unwrap();
    }
    assert_eq!(query(&default), CUresult::CUDA_ERROR_NOT_READY);
    slot.words()[1].store(1, Ordering::Release);
    default.synchronize().unwrap();
    assert_eq!(slot.get()[0], 2);
    // SAFETY: it is from `create`.
    unsafe { result::stream::destroy(blocking) }.unwrap();
}

#[test]
fn events_tell_time_where_asked() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let timed = || stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT)).unwrap();
    let start = timed();
    let gate = Gate::close(&session, &stream);
    std::thread::sleep(std::time::Duration::from_millis(5));
    gate.open();
    let end = timed();
    let ms = start.elapsed_ms(&end).unwrap();
    assert!((5.0..60_000.0).contains(&ms), "{ms}");
    let untimed = stream.record_event(None).unwrap();
    assert!(start.elapsed_ms(&untimed).is_err());
}
