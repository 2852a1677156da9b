//! What the environment sets. Each test runs a part of itself in a process of its own.

use std::process::Command;

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::sys::{self, CUfunction_attribute, CUresult};
use cudarc::driver::{CudaContext, result};
use offramp_libcuda::Simulator;

use crate::support::{PTX, Pinned, Session, alloc, attribute, check, code, download};
use crate::support::{launch_early, upload};

/// Runs the ignored test `part` of this file with settings.
fn run(part: &str, settings: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", &format!("settings::{part}")]);
    let output = command.envs(settings.iter().copied()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn there_may_be_no_device() {
    run("no_device", &[("OFFRAMP_SIM_DEVICES", "0")]);
}

#[test]
#[ignore = "a part of another test"]
fn no_device() {
    Simulator::load().unwrap();
    assert_eq!(code(CudaContext::new(0)), CUresult::CUDA_ERROR_NO_DEVICE);
    assert_eq!(code(CudaContext::device_count()), CUresult::CUDA_ERROR_NO_DEVICE);
}

#[test]
fn there_may_be_two_devices() {
    run("two_devices", &[("OFFRAMP_SIM_DEVICES", "2")]);
}

#[test]
#[ignore = "a part of another test"]
fn two_devices() {
    let session = Session::begin();
    assert_eq!(CudaContext::device_count().unwrap(), 2);
    let address = alloc(64);
    let other = CudaContext::new(1).unwrap();
    let (free, total) = result::mem_get_info().unwrap();
    assert_eq!(free, total, "each has its own memory");
    session.context.bind_to_thread().unwrap();
    // SAFETY: it was allocated in this context.
    unsafe { result::free_sync(address) }.unwrap();
    assert_ne!(other.uuid().unwrap().bytes, session.context.uuid().unwrap().bytes);
}

#[test]
fn the_driver_may_be_old() {
    run("old_driver", &[("OFFRAMP_SIM_DRIVER_VERSION", "11070")]);
}

#[test]
#[ignore = "a part of another test"]
fn old_driver() {
    let session = Session::begin();
    let mut version = 0;
    // SAFETY: there is room for a number.
    check(unsafe { sys::cuDriverGetVersion(&raw mut version) });
    assert_eq!(version, 11_070);
    let refused = code(session.context.load_module(PTX.into()));
    assert_eq!(refused, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
}

#[test]
fn memory_may_be_short() {
    run("short_memory", &[("OFFRAMP_SIM_MEMORY_MB", "1")]);
}

#[test]
#[ignore = "a part of another test"]
fn short_memory() {
    let _session = Session::begin();
    alloc(1 << 20);
    // SAFETY: nothing is allocated.
    let refused = unsafe { result::malloc_sync(1) };
    assert_eq!(code(refused), CUresult::CUDA_ERROR_OUT_OF_MEMORY);
}

#[test]
fn a_trace_has_a_line_for_each_call() {
    let path = std::env::temp_dir().join(format!("libcuda-trace-{}", std::process::id()));
    run(
        "short_memory",
        &[("OFFRAMP_SIM_MEMORY_MB", "1"), ("OFFRAMP_SIM_TRACE", path.to_str().unwrap())],
    );
    let trace = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(trace.starts_with("cuInit(flags: 0) CUDA_SUCCESS\n"), "{trace}");
    let is_refusal = |line: &str| {
        line.starts_with("cuMemAlloc_v2(out: 0x")
            && line.ends_with("bytes: 1) CUDA_ERROR_OUT_OF_MEMORY")
    };
    assert!(trace.lines().any(is_refusal), "{trace}");
}

/// What a card says of itself that others do not.
const SAID: [Attribute; 6] = [
    Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
    Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
    Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
    Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR,
    Attribute::CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR,
    Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE,
];

/// Fails unless the device is this card.
fn expect_card(session: &Session, name: &str, capability: (i32, i32), said: [i32; 6]) {
    let context = &session.context;
    assert_eq!(context.name().unwrap(), format!("PTX interpreter ({name})"));
    assert_eq!(context.compute_capability().unwrap(), capability);
    assert_eq!(SAID.map(|what| attribute(context, what)), said);
}

#[test]
fn the_card_may_be_another() {
    run("an_l4", &[("OFFRAMP_SIM_CARD", "l4")]);
    run("an_rtx4090", &[("OFFRAMP_SIM_CARD", "rtx4090")]);
    run("an_h100", &[("OFFRAMP_SIM_CARD", " ")]);
    run("no_such_card", &[("OFFRAMP_SIM_CARD", "H100")]);
    run("a_hopper_begins_early", &[]);
    run("an_a100", &[]);
}

#[test]
#[ignore = "a part of another test"]
fn an_l4() {
    let session = Session::begin();
    let said = [58, 99 << 10, 100 << 10, 1536, 24, 48 << 20];
    expect_card(&session, "l4", (8, 9), said);
    let word = session.kernel("shared_word");
    let (dynamic, binary, ptx) = (
        CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
        CUfunction_attribute::CU_FUNC_ATTRIBUTE_BINARY_VERSION,
        CUfunction_attribute::CU_FUNC_ATTRIBUTE_PTX_VERSION,
    );
    let refused = code(word.set_attribute(dynamic, 100 << 10));
    assert_eq!(refused, CUresult::CUDA_ERROR_INVALID_VALUE);
    word.set_attribute(dynamic, 99 << 10).unwrap();
    assert_eq!([binary, ptx].map(|what| word.get_attribute(what).unwrap()), [89, 80]);
    let blocks = word.occupancy_max_active_blocks_per_multiprocessor(32, 0, None);
    assert_eq!(blocks.unwrap(), 24);
    // Launches that begin early take a Hopper, and so does its PTX.
    let stream = session.context.new_stream().unwrap();
    let early = launch_early(&stream, &word, [0; 2]);
    assert_eq!(early, CUresult::CUDA_ERROR_NOT_SUPPORTED);
    let hopper = PTX.replace("sm_80", "sm_90a");
    let refused = code(session.context.load_module(hopper.into()));
    assert_eq!(refused, CUresult::CUDA_ERROR_INVALID_PTX);
    assert!(session.simulator.choose_card(c"l4") && !session.simulator.choose_card(c"a100"));
}

#[test]
#[ignore = "a part of another test"]
fn an_rtx4090() {
    let said = [128, 99 << 10, 100 << 10, 1536, 24, 72 << 20];
    expect_card(&Session::begin(), "rtx4090", (8, 9), said);
}

/// Nobody is given another card than was asked for.
#[test]
#[ignore = "a part of another test"]
fn no_such_card() {
    let simulator = Simulator::load().unwrap();
    assert_eq!(code(CudaContext::new(0)), CUresult::CUDA_ERROR_INVALID_VALUE);
    assert!(simulator.choose_card(c"l4"));
    CudaContext::new(0).unwrap();
}

#[test]
#[ignore = "a part of another test"]
fn an_h100() {
    assert!(!Simulator::load().unwrap().choose_card(c"gtx1080"));
    let session = Session::begin();
    expect_card(&session, "h100", (9, 0), [132, 227 << 10, 228 << 10, 2048, 32, 50 << 20]);
    for (target, is_fine) in [("sm_80", true), ("sm_90", true), ("sm_90a", true), ("sm_80a", false)]
    {
        let loaded = session.context.load_module(PTX.replace("sm_80", target).into());
        assert_eq!(loaded.is_ok(), is_fine, "{target}");
    }
}

#[test]
#[ignore = "a part of another test"]
fn an_a100() {
    assert!(Simulator::load().unwrap().choose_card(c"a100"));
    let said = [108, 163 << 10, 164 << 10, 2048, 32, 40 << 20];
    expect_card(&Session::begin(), "a100", (8, 0), said);
}

/// A kernel that loads a word before it waits for those in front of it.
const EARLY: &str = "
.version 8.0
.target sm_90a
.address_size 64
.visible .entry early(.param .u64 p0, .param .u64 p1)
{
    .reg .b64 %rd<3>;
    .reg .b32 %r<2>;
    ld.param.u64 %rd1, [p0];
    ld.param.u64 %rd2, [p1];
    ld.global.u32 %r1, [%rd1];
    griddepcontrol.launch_dependents;
    griddepcontrol.wait;
    st.global.u32 [%rd2], %r1;
    ret;
}
";

#[test]
#[ignore = "a part of another test"]
fn a_hopper_begins_early() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let early = session.context.load_module(EARLY.into()).unwrap().load_function("early").unwrap();
    let (from, to) = (alloc(4), alloc(4));
    let value = Pinned::new(1);
    value.set(9);
    check(upload(&stream, from, &value));
    let launch = |from: u64, to: u64| launch_early(&stream, &early, [from, to]);
    // Recorded, and twice from the graph.
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).unwrap();
    assert_eq!(launch(from, to), CUresult::CUDA_SUCCESS);
    let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
    let graph = stream.end_capture(flags).unwrap().unwrap();
    graph.launch().unwrap();
    graph.launch().unwrap();
    assert_eq!(session.simulator.counts().early_launches, 1);
    check(download(&stream, &value, to));
    stream.synchronize().unwrap();
    assert_eq!(value.get(), [9]);
    // What a kernel has written may not be loaded before the wait, in a graph neither.
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED).unwrap();
    assert_eq!(launch(to, from), CUresult::CUDA_SUCCESS);
    let graph = stream.end_capture(flags).unwrap().unwrap();
    graph.launch().unwrap();
    assert_eq!(code(stream.synchronize()), CUresult::CUDA_ERROR_LAUNCH_FAILED);
}
