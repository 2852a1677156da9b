//! The calls programs make, by the names of the CUDA Driver API 12.4.

use std::ffi::{c_char, c_int};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::complain::complain;
use crate::error::{Code, Result};
use crate::ffi::{Address, Handle, Host, Out, Text};
use crate::launch::{Config, Shape};
use crate::module::JitOptions;
use crate::{
    SimCounts, capture, card, context, copy, counts, device, event, explain, function, graph,
};
use crate::{launch, memory, module, profile, stream, trace, work};

/// Calls it, tells the trace, and turns the outcome into what C expects.
fn answer(name: &str, arguments: fmt::Arguments<'_>, body: impl FnOnce() -> Result) -> c_int {
    let outcome = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        complain(format_args!("{name}: {}", work::message(&*panic)));
        Err(Code::Unknown)
    });
    let code = outcome.map_or_else(|code| code as c_int, |()| 0);
    trace::call(name, arguments, code);
    code
}

/// Exports calls under the driver's names. Arguments are traced as they are written here.
macro_rules! calls {
    ($($name:ident($($argument:ident: $type:ty),*) => $body:expr;)*) => {$(
        #[allow(non_snake_case, reason = "the names are the driver's")]
        #[allow(clippy::too_many_arguments, reason = "the arguments are the driver's")]
        // SAFETY: no library but a CUDA driver defines this name.
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),*) -> c_int {
            let arguments: &[(&str, &dyn fmt::Debug)] = &[$((stringify!($argument), &$argument)),*];
            answer(stringify!($name), format_args!("{}", Arguments(arguments)), || $body)
        }
    )*};
}

/// Arguments as the trace shows them.
struct Arguments<'a>(&'a [(&'a str, &'a dyn fmt::Debug)]);

impl fmt::Display for Arguments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{name}: {value:?}")?;
        }
        Ok(())
    }
}

calls! {
    cuInit(flags: u32) => device::init(flags);
    cuDriverGetVersion(out: Out<c_int>) => device::driver_version(out);
    cuGetErrorName(code: c_int, out: Out<*const c_char>) => explain::get_name(code, out);
    cuGetErrorString(code: c_int, out: Out<*const c_char>) => explain::get_text(code, out);
}

calls! {
    cuDeviceGetCount(out: Out<c_int>) => device::count(out);
    cuDeviceGet(out: Out<c_int>, ordinal: c_int) => device::get(out, ordinal);
    cuDeviceGetName(out: Out<c_char>, len: c_int, device: c_int) =>
        device::name(out, len, device);
    cuDeviceTotalMem_v2(out: Out<usize>, device: c_int) => device::total_memory(out, device);
    cuDeviceGetAttribute(out: Out<c_int>, attribute: c_int, device: c_int) =>
        device::attribute(out, attribute, device);
    cuDeviceGetUuid(out: Out<[u8; 16]>, device: c_int) => device::uuid(out, device);
    cuDeviceGetUuid_v2(out: Out<[u8; 16]>, device: c_int) => device::uuid(out, device);
    cuDeviceGetPCIBusId(out: Out<c_char>, len: c_int, device: c_int) =>
        device::pci_bus_id(out, len, device);
    cuDevicePrimaryCtxRetain(out: Out<Handle>, device: c_int) =>
        device::retain_primary(out, device);
    cuDevicePrimaryCtxRelease_v2(device: c_int) => device::release_primary(device);
}

calls! {
    cuCtxSetCurrent(context: Handle) => context::set_current(context);
    cuCtxGetCurrent(out: Out<Handle>) => context::get_current(out);
    cuCtxGetDevice(out: Out<c_int>) => context::get_device(out);
    cuCtxSetFlags(flags: u32) => context::set_flags(flags);
    cuCtxSynchronize() => context::synchronize();
    cuCtxGetStreamPriorityRange(least: Out<c_int>, greatest: Out<c_int>) =>
        context::priority_range(least, greatest);
}

calls! {
    cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) => memory::info(free, total);
    cuMemAlloc_v2(out: Out<Address>, bytes: usize) => memory::alloc(out, bytes);
    cuMemFree_v2(address: Address) => memory::free(address);
    cuMemAllocAsync(out: Out<Address>, bytes: usize, stream: Handle) =>
        memory::alloc_async(out, bytes, stream);
    cuMemFreeAsync(address: Address, stream: Handle) => memory::free_async(address, stream);
    cuMemHostAlloc(out: Out<Host>, bytes: usize, flags: u32) =>
        memory::alloc_host(out, bytes, flags);
    cuMemFreeHost(host: Host) => memory::free_host(host);
    cuMemHostGetDevicePointer_v2(out: Out<Address>, host: Host, flags: u32) =>
        memory::device_address(out, host, flags);
    cuMemHostGetFlags(out: Out<u32>, host: Host) => memory::host_flags(out, host);
}

calls! {
    cuMemcpyHtoD_v2(to: Address, from: Host, bytes: usize) => copy::to_device(to, from, bytes);
    cuMemcpyHtoDAsync_v2(to: Address, from: Host, bytes: usize, stream: Handle) =>
        copy::to_device_async(to, from, bytes, stream);
    cuMemcpyDtoH_v2(to: Host, from: Address, bytes: usize) => copy::to_host(to, from, bytes);
    cuMemcpyDtoHAsync_v2(to: Host, from: Address, bytes: usize, stream: Handle) =>
        copy::to_host_async(to, from, bytes, stream);
    cuMemcpyDtoD_v2(to: Address, from: Address, bytes: usize) => copy::on_device(to, from, bytes);
    cuMemcpyDtoDAsync_v2(to: Address, from: Address, bytes: usize, stream: Handle) =>
        copy::on_device_async(to, from, bytes, stream);
    cuMemsetD8_v2(to: Address, byte: u8, count: usize) =>
        copy::fill_bytes(to, byte, count, Handle(0));
    cuMemsetD8Async(to: Address, byte: u8, count: usize, stream: Handle) =>
        copy::fill_bytes(to, byte, count, stream);
    cuMemsetD32_v2(to: Address, word: u32, count: usize) =>
        copy::fill_words(to, word, count, Handle(0));
    cuMemsetD32Async(to: Address, word: u32, count: usize, stream: Handle) =>
        copy::fill_words(to, word, count, stream);
}

calls! {
    cuModuleLoadData(out: Out<Handle>, image: Host) => module::load(out, image);
    cuModuleLoadDataEx(
        out: Out<Handle>, image: Host, count: u32, options: Out<c_int>, values: Out<Host>
    ) => module::load_with(out, image, JitOptions { count, options, values });
    cuModuleUnload(module: Handle) => module::unload(module);
    cuModuleGetFunction(out: Out<Handle>, module: Handle, name: Text) =>
        module::function(out, module, name);
    cuFuncGetAttribute(out: Out<c_int>, attribute: c_int, function: Handle) =>
        function::attribute(out, attribute, function);
    cuFuncSetAttribute(function: Handle, attribute: c_int, value: c_int) =>
        function::set_attribute(function, attribute, value);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(
        out: Out<c_int>, function: Handle, threads: c_int, shared_bytes: usize
    ) => function::blocks_per_sm(out, function, threads, shared_bytes);
    cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
        out: Out<c_int>, function: Handle, threads: c_int, shared_bytes: usize, _flags: u32
    ) => function::blocks_per_sm(out, function, threads, shared_bytes);
    cuLaunchKernel(
        function: Handle, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32,
        block_z: u32, dynamic_shared_bytes: u32, stream: Handle, params: Out<Host>,
        extra: Out<Host>
    ) => {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        launch::launch(function, Shape { grid, block, dynamic_shared_bytes }, stream, params, extra)
    };
    cuLaunchKernelEx(config: Out<Config>, function: Handle, params: Out<Host>, extra: Out<Host>) =>
        launch::launch_ex(config, function, params, extra);
}

calls! {
    cuStreamCreate(out: Out<Handle>, flags: u32) => stream::create(out, flags);
    cuStreamCreateWithPriority(out: Out<Handle>, flags: u32, _priority: c_int) =>
        stream::create(out, flags);
    cuStreamDestroy_v2(stream: Handle) => stream::destroy(stream);
    cuStreamSynchronize(stream: Handle) => stream::synchronize(stream);
    cuStreamQuery(stream: Handle) => stream::query(stream);
    cuStreamWaitEvent(stream: Handle, event: Handle, flags: u32) =>
        event::wait(stream, event, flags);
    cuEventCreate(out: Out<Handle>, flags: u32) => event::create(out, flags);
    cuEventDestroy_v2(event: Handle) => event::destroy(event);
    cuEventRecord(event: Handle, stream: Handle) => event::record(event, stream);
    cuEventQuery(event: Handle) => event::query(event);
    cuEventSynchronize(event: Handle) => event::synchronize(event);
    cuEventElapsedTime(out: Out<f32>, start: Handle, end: Handle) =>
        event::elapsed(out, start, end);
    cuEventElapsedTime_v2(out: Out<f32>, start: Handle, end: Handle) =>
        event::elapsed(out, start, end);
}

calls! {
    cuStreamBeginCapture_v2(stream: Handle, mode: c_int) => capture::begin(stream, mode);
    cuStreamEndCapture(stream: Handle, out: Out<Handle>) => capture::end(stream, out);
    cuStreamIsCapturing(stream: Handle, out: Out<c_int>) => capture::status(stream, out);
    cuGraphInstantiateWithFlags(out: Out<Handle>, graph: Handle, flags: u64) =>
        graph::instantiate(out, graph, flags);
    cuGraphUpload(graph: Handle, stream: Handle) => graph::upload(graph, stream);
    cuGraphLaunch(graph: Handle, stream: Handle) => graph::launch(graph, stream);
    cuGraphExecDestroy(graph: Handle) => graph::destroy_exec(graph);
    cuGraphDestroy(graph: Handle) => graph::destroy(graph);
    cuGraphGetNodes(graph: Handle, out: Out<Handle>, count: Out<usize>) =>
        graph::nodes(graph, out, count);
}

calls! {
    offrampSimCard(name: Text) => card::choose(&name.read()?);
    offrampSimTensor(name: Text) => card::sum_as(&name.read()?);
    offrampSimCopyDelay(micros: u64) => {
        copy::delay(micros);
        Ok(())
    };
    offrampSimGraphs(room: u64) => {
        graph::limit(room);
        Ok(())
    };
    offrampSimSeed(seed: u64) => {
        card::mix(seed);
        Ok(())
    };
    offrampSimCounts(out: Out<SimCounts>) => out.set(counts::read());
    offrampSimReset() => {
        counts::reset();
        profile::reset();
        Ok(())
    };
    offrampSimLaunches(out: Out<c_char>, len: usize, needed: Out<usize>) => {
        let text = profile::json();
        needed.set(text.len() + 1)?;
        if out.is_null() { Ok(()) } else { out.set_text(&text, len) }
    };
}
