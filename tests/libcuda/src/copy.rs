//! Calls that copy and fill memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::capture;
use crate::context::Context;
use crate::counts;
use crate::error::{Code, Result};
use crate::ffi::{Address, Handle, Host};
use crate::heap::Place;
use crate::stream;
use crate::work::{Task, Work};
use crate::worker::Stream;

/// What a copy that runs in a stream takes at least, in microseconds.
static DELAY_US: AtomicU64 = AtomicU64::new(0);

/// Lets copies that run in a stream take at least so long.
pub(crate) fn delay(micros: u64) {
    DELAY_US.store(micros, Ordering::Relaxed);
}

/// Spends the time that such a copy takes at least.
pub(crate) fn dawdle() {
    let micros = DELAY_US.load(Ordering::Relaxed);
    if micros > 0 {
        std::thread::sleep(Duration::from_micros(micros));
    }
}

/// Whether the host memory is pinned: copies then touch it when they run, not at the call.
fn is_pinned(stream: &Stream, host: Host, bytes: usize) -> bool {
    let place = stream.context.heap.place(host.address(), bytes as u64);
    matches!(place, Ok(Place::Host(_)))
}

/// A graph that runs later cannot hold on to memory that may go.
fn forbid_pageable(stream: &Stream) -> Result {
    stream::forbid_capture(stream)
}

fn check_range(stream: &Stream, address: Address, bytes: usize) -> Result {
    stream.context.heap.place(address.0, bytes as u64).map(|_| ())
}

/// `cuMemcpyHtoDAsync`: pageable memory is read at the call.
pub(crate) fn to_device_async(to: Address, from: Host, bytes: usize, stream: Handle) -> Result {
    let stream = stream::get(stream)?;
    if bytes == 0 {
        return Ok(());
    }
    check_range(&stream, to, bytes)?;
    let work = if is_pinned(&stream, from, bytes) {
        Work::Copy { to: to.0, from: from.address(), bytes: bytes as u64 }
    } else {
        forbid_pageable(&stream)?;
        Work::Write { to: to.0, bytes: from.read(bytes)?.into() }
    };
    stream::issue(&stream, work, &counts::ASYNC_COPIES)
}

/// `cuMemcpyDtoHAsync`: for pageable memory the host waits.
pub(crate) fn to_host_async(to: Host, from: Address, bytes: usize, stream: Handle) -> Result {
    let stream = stream::get(stream)?;
    if bytes == 0 {
        return Ok(());
    }
    check_range(&stream, from, bytes)?;
    if is_pinned(&stream, to, bytes) {
        let work = Work::Copy { to: to.address(), from: from.0, bytes: bytes as u64 };
        return stream::issue(&stream, work, &counts::ASYNC_COPIES);
    }
    forbid_pageable(&stream)?;
    counts::ASYNC_COPIES.add();
    fetch(&stream, to, from, bytes)
}

/// Copies to the host and waits.
fn fetch(stream: &Arc<Stream>, to: Host, from: Address, bytes: usize) -> Result {
    if to.address() == 0 {
        return Err(Code::InvalidValue);
    }
    capture::forbid_default(stream)?;
    counts::SYNCS.add();
    stream.submit(Task::Work(Work::Fetch { to, from: from.0, bytes: bytes as u64 })).wait();
    stream.context.check()
}

/// `cuMemcpyDtoDAsync`
pub(crate) fn on_device_async(to: Address, from: Address, bytes: usize, stream: Handle) -> Result {
    let stream = stream::get(stream)?;
    if bytes == 0 {
        return Ok(());
    }
    check_range(&stream, to, bytes)?;
    check_range(&stream, from, bytes)?;
    let work = Work::Copy { to: to.0, from: from.0, bytes: bytes as u64 };
    stream::issue(&stream, work, &counts::ASYNC_COPIES)
}

/// The default stream for a call that waits.
fn synchronous(bytes: usize) -> Result<Option<Arc<Stream>>> {
    let context = Context::current()?;
    capture::forbid_unsafe(&context)?;
    counts::SYNC_COPIES.add();
    if bytes == 0 { Ok(None) } else { context.legacy().map(Some) }
}

/// `cuMemcpyHtoD`
pub(crate) fn to_device(to: Address, from: Host, bytes: usize) -> Result {
    let Some(stream) = synchronous(bytes)? else { return Ok(()) };
    check_range(&stream, to, bytes)?;
    capture::forbid_default(&stream)?;
    let work = Work::Write { to: to.0, bytes: from.read(bytes)?.into() };
    counts::SYNCS.add();
    stream.submit(Task::Work(work)).wait();
    stream.context.check()
}

/// `cuMemcpyDtoH`
pub(crate) fn to_host(to: Host, from: Address, bytes: usize) -> Result {
    let Some(stream) = synchronous(bytes)? else { return Ok(()) };
    check_range(&stream, from, bytes)?;
    fetch(&stream, to, from, bytes)
}

/// `cuMemcpyDtoD`: the host does not wait for it.
pub(crate) fn on_device(to: Address, from: Address, bytes: usize) -> Result {
    on_device_async(to, from, bytes, Handle(0))
}

/// `cuMemsetD8Async`
pub(crate) fn fill_bytes(to: Address, byte: u8, count: usize, stream: Handle) -> Result {
    let stream = stream::get(stream)?;
    if count == 0 {
        return Ok(());
    }
    check_range(&stream, to, count)?;
    let work = Work::Fill { to: to.0, byte, bytes: count as u64 };
    stream::issue(&stream, work, &counts::FILLS)
}

/// `cuMemsetD32Async`: the address must be a multiple of 4.
pub(crate) fn fill_words(to: Address, word: u32, count: usize, stream: Handle) -> Result {
    let stream = stream::get(stream)?;
    if count == 0 {
        return Ok(());
    }
    let bytes = count.checked_mul(4).ok_or(Code::InvalidValue)?;
    check_range(&stream, to, bytes)?;
    if !to.0.is_multiple_of(4) {
        return Err(Code::InvalidValue);
    }
    let work = Work::Write { to: to.0, bytes: word.to_ne_bytes().repeat(count).into() };
    stream::issue(&stream, work, &counts::FILLS)
}
