//! What the environment sets. Each test runs a part of itself in a process of its own.

use std::process::Command;

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, result};
use offramp_libcuda::Simulator;

use crate::support::{PTX, Session, alloc, check, code};

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
