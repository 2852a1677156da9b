//! Calls that allocate and release memory.

use std::sync::Arc;

use crate::capture;
use crate::context::Context;
use crate::counts;
use crate::error::{Code, Result};
use crate::ffi::{Address, Handle, Host, Out};
use crate::heap::Place;
use crate::stream;
use crate::work::Work;

/// All flags of host memory: portable, mapped, write-combined.
const HOST_FLAGS: u32 = 7;

/// `cuMemGetInfo`
pub(crate) fn info(free: Out<usize>, total: Out<usize>) -> Result {
    let (free_bytes, total_bytes) = Context::current()?.heap.free_and_total();
    free.set(free_bytes as usize)?;
    total.set(total_bytes as usize)
}

/// The current context, for a call that may make the device idle.
fn idle() -> Result<Arc<Context>> {
    let context = Context::current()?;
    capture::forbid_unsafe(&context)?;
    Ok(context)
}

/// `cuMemAlloc`
pub(crate) fn alloc(out: Out<Address>, bytes: usize) -> Result {
    out.check()?;
    let context = idle()?;
    counts::ALLOCATIONS.add();
    counts::SYNCS.add();
    out.set(Address(context.heap.alloc(bytes as u64, Place::Device)?))
}

/// `cuMemFree`: waits for all work first.
pub(crate) fn free(address: Address) -> Result {
    let context = idle()?;
    if address.0 == 0 {
        return Ok(());
    }
    check_block(&context, address, |place| place == Place::Device)?;
    counts::FREES.add();
    counts::SYNCS.add();
    context.wait()?;
    context.heap.retire(address.0)?;
    context.heap.release(address.0);
    Ok(())
}

/// `cuMemAllocAsync`: the address is known at once, and no stream has to wait for it.
pub(crate) fn alloc_async(out: Out<Address>, bytes: usize, stream: Handle) -> Result {
    out.check()?;
    let stream = stream::get(stream)?;
    stream::forbid_capture(&stream)?;
    counts::ALLOCATIONS.add();
    out.set(Address(stream.context.heap.alloc(bytes as u64, Place::Device)?))
}

/// `cuMemFreeAsync`: releases when the stream gets there.
pub(crate) fn free_async(address: Address, stream: Handle) -> Result {
    let stream = stream::get(stream)?;
    stream::forbid_capture(&stream)?;
    check_block(&stream.context, address, |place| place == Place::Device)?;
    stream.context.heap.retire(address.0)?;
    stream::issue(&stream, Work::Free(address.0), &counts::FREES)
}

/// `cuMemHostAlloc`: the device sees it at the same address.
pub(crate) fn alloc_host(out: Out<Host>, bytes: usize, flags: u32) -> Result {
    out.check()?;
    if flags & !HOST_FLAGS != 0 {
        return Err(Code::InvalidValue);
    }
    let context = idle()?;
    counts::ALLOCATIONS.add();
    counts::SYNCS.add();
    out.set(Host::at(context.heap.alloc(bytes as u64, Place::Host(flags))?))
}

/// `cuMemFreeHost`: waits for all work first.
pub(crate) fn free_host(host: Host) -> Result {
    let context = idle()?;
    check_block(&context, Address(host.address()), |place| place != Place::Device)?;
    counts::FREES.add();
    counts::SYNCS.add();
    context.wait()?;
    context.heap.retire(host.address())?;
    context.heap.release(host.address());
    Ok(())
}

/// `cuMemHostGetDevicePointer`
pub(crate) fn device_address(out: Out<Address>, host: Host, flags: u32) -> Result {
    let context = Context::current()?;
    match context.heap.place(host.address(), 1)? {
        Place::Host(_) if flags == 0 => out.set(Address(host.address())),
        _ => Err(Code::InvalidValue),
    }
}

/// `cuMemHostGetFlags`
pub(crate) fn host_flags(out: Out<u32>, host: Host) -> Result {
    match Context::current()?.heap.place(host.address(), 1)? {
        Place::Host(flags) => out.set(flags),
        Place::Device => Err(Code::InvalidValue),
    }
}

fn check_block(context: &Context, address: Address, is_right: fn(Place) -> bool) -> Result {
    let place = context.heap.place_of_block(address.0)?;
    if is_right(place) { Ok(()) } else { Err(Code::InvalidValue) }
}
