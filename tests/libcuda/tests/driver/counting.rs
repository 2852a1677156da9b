//! What the driver counts.

use cudarc::driver::result;
use offramp_libcuda::SimCounts;
use serde_json::Value;

use crate::support::{Pinned, Session, alloc, check, download, scale, upload};

#[test]
fn calls_are_counted() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("scale");
    session.counts();
    let (host, device) = (Pinned::new(8), alloc(32));
    let expected = SimCounts { allocations: 2, syncs: 2, ..SimCounts::default() };
    assert_eq!(session.counts(), expected);
    check(upload(&stream, device, &host));
    scale(&stream, &kernel, device, 8, 2.0).unwrap();
    check(download(&stream, &host, device));
    let expected = SimCounts { launches: 1, async_copies: 2, ..SimCounts::default() };
    assert_eq!(session.counts(), expected);
    stream.synchronize().unwrap();
    stream.record_event(None).unwrap().synchronize().unwrap();
    let mut back = [0u32; 8];
    // SAFETY: eight words were allocated and written.
    unsafe {
        result::memcpy_dtoh_sync(&mut back, device).unwrap();
        result::memset_d8_async(device, 0, 32, stream.cu_stream()).unwrap();
        result::free_sync(device).unwrap();
    }
    let expected =
        SimCounts { syncs: 4, sync_copies: 1, fills: 1, frees: 1, ..SimCounts::default() };
    assert_eq!(session.counts(), expected);
}

#[test]
fn a_copy_to_pageable_memory_makes_the_host_wait() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let device = alloc(4);
    session.counts();
    let mut back = [1u8; 4];
    // SAFETY: four bytes were allocated.
    unsafe { result::memcpy_dtoh_async(&mut back, device, stream.cu_stream()) }.unwrap();
    let expected = SimCounts { async_copies: 1, syncs: 1, ..SimCounts::default() };
    assert_eq!((session.counts(), back), (expected, [0; 4]));
}

#[test]
fn kernels_are_summed_by_name() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("scale");
    let (host, device) = (Pinned::new(64), alloc(256));
    check(upload(&stream, device, &host));
    for _ in 0..3 {
        scale(&stream, &kernel, device, 64, 2.0).unwrap();
    }
    stream.synchronize().unwrap();
    let launches: Value = serde_json::from_str(&session.simulator.launches()).unwrap();
    let sum = &launches[0];
    assert_eq!(launches.as_array().unwrap().len(), 1);
    assert_eq!((&sum["kernel"], &sum["launches"]), (&"scale".into(), &3.into()));
    // Two warps of 32 words each: 4 sectors a warp.
    assert_eq!(sum["global_load_sectors"], 3 * 2 * 4);
    assert_eq!(sum["global_store_bytes"], 3 * 256);
    assert!(sum["instructions"].as_u64() >= Some(3 * 2 * 15));
    session.simulator.reset();
    assert_eq!(session.simulator.launches(), "[]");
}
