//! Loading PTX.

use std::ffi::{CStr, CString, c_void};

use cudarc::driver::sys::CUlaunchAttributeValue_union as CUlaunchAttributeValue;
use cudarc::driver::sys::{self, CUjit_option, CUlaunchAttributeID, CUresult};

use crate::support::{PTX, Pinned, Session, code, launch_with};

/// Loads `text` with an error log, and gives the code, the log and the length told.
fn load_with_log(text: &str) -> (CUresult, String, usize) {
    let text = CString::new(text).unwrap();
    let mut log = [0u8; 256];
    let mut options =
        [CUjit_option::CU_JIT_ERROR_LOG_BUFFER, CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES];
    let mut values = [log.as_mut_ptr().cast::<c_void>(), log.len() as *mut c_void];
    let (mut module, image) = (std::ptr::null_mut(), text.as_ptr().cast());
    // SAFETY: two options with their values; the log is as long as told.
    let result = unsafe {
        let (options, values) = (options.as_mut_ptr(), values.as_mut_ptr());
        sys::cuModuleLoadDataEx(&raw mut module, image, 2, options, values)
    };
    let text = CStr::from_bytes_until_nul(&log).unwrap().to_str().unwrap().to_owned();
    (result, text, values[1] as usize)
}

#[test]
fn bad_ptx_is_refused_with_a_reason() {
    let _session = Session::begin();
    let (result, log, len) = load_with_log(&PTX.replace("mul.f32", "mull.f32"));
    assert_eq!(result, CUresult::CUDA_ERROR_INVALID_PTX);
    assert!(log.contains("mull.f32") && log.len() == len, "{log}");
    let (result, log, len) = load_with_log(PTX);
    assert_eq!((result, log.as_str(), len), (CUresult::CUDA_SUCCESS, "", 0));
}

#[test]
fn ptx_for_other_machines_is_refused() {
    let _session = Session::begin();
    let (result, log, _) = load_with_log(&PTX.replace("sm_80", "sm_100"));
    assert_eq!(result, CUresult::CUDA_ERROR_INVALID_PTX);
    assert!(log.contains("sm_100"), "{log}");
    let (result, log, _) = load_with_log(&PTX.replace(".version 8.0", ".version 8.5"));
    assert_eq!(result, CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    assert!(log.contains("8.5"), "{log}");
    let (result, ..) = load_with_log("");
    assert_eq!(result, CUresult::CUDA_ERROR_INVALID_PTX);
    let (result, ..) = load_with_log("\x7fELF and more");
    assert_eq!(result, CUresult::CUDA_ERROR_INVALID_IMAGE);
}

#[test]
fn attributes_of_a_launch_are_read() {
    let session = Session::begin();
    let stream = session.context.new_stream().unwrap();
    let kernel = session.kernel("shared_word");
    let result = Pinned::new(1);
    let address = result.device();
    let launch = |id: CUlaunchAttributeID, value: i32| {
        let value = CUlaunchAttributeValue { cooperative: value };
        launch_with(&stream, &kernel, 64, (id, value), &[address])
    };
    let cooperative = CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    assert_eq!(launch(cooperative, 1), CUresult::CUDA_ERROR_NOT_SUPPORTED);
    assert_eq!(launch(cooperative, 0), CUresult::CUDA_SUCCESS);
    stream.synchronize().unwrap();
    assert_eq!(result.get(), [77]);
}

#[test]
fn functions_are_found_by_name() {
    let session = Session::begin();
    let module = session.context.load_module(PTX.into()).unwrap();
    let unknown = module.load_function("scales");
    assert_eq!(code(unknown), CUresult::CUDA_ERROR_NOT_FOUND);
    let scale = module.load_function("scale").unwrap();
    let threads = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
    assert_eq!(scale.get_attribute(threads).unwrap(), 64);
    assert_eq!(scale.occupancy_max_active_blocks_per_multiprocessor(64, 0, None).unwrap(), 32);
    let blocks = scale.occupancy_max_active_blocks_per_multiprocessor(64, 81 << 10, None);
    assert_eq!(blocks.unwrap(), 2);
}
