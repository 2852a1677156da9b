//! What the driver says of itself.

use std::ffi::CStr;

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use cudarc::driver::sys::{self, CUresult};

use crate::support::{Session, attribute, check};

#[test]
fn the_device_introduces_itself() {
    let session = Session::begin();
    let context = &session.context;
    assert_eq!(context.name().unwrap(), "PTX interpreter (h100)");
    assert_eq!(context.compute_capability().unwrap(), (9, 0));
    assert_eq!(context.total_mem().unwrap(), 4096 << 20);
    assert_eq!(attribute(context, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 132);
    assert_eq!(attribute(context, Attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE), 32);
    assert_eq!(context.uuid().unwrap().bytes[0], b'P' as std::ffi::c_char);
    let mut version = 0;
    // SAFETY: there is room for a number.
    check(unsafe { sys::cuDriverGetVersion(&raw mut version) });
    assert_eq!(version, 12_040);
}

#[test]
fn names_are_cut_to_fit() {
    let _session = Session::begin();
    let mut name = [1 as std::ffi::c_char; 4];
    // SAFETY: there is room for four characters.
    check(unsafe { sys::cuDeviceGetName(name.as_mut_ptr(), 4, 0) });
    // SAFETY: the driver ends the text.
    assert_eq!(unsafe { CStr::from_ptr(name.as_ptr()) }, c"PTX");
}

#[test]
fn there_is_no_second_device() {
    let _session = Session::begin();
    let second = cudarc::driver::result::device::get(1).map_err(|error| error.0);
    assert_eq!(second, Err(CUresult::CUDA_ERROR_INVALID_DEVICE));
}

#[test]
fn errors_have_names() {
    let _session = Session::begin();
    let error = cudarc::driver::DriverError(CUresult::CUDA_ERROR_LAUNCH_FAILED);
    assert_eq!(error.error_name().unwrap(), c"CUDA_ERROR_LAUNCH_FAILED");
    assert_eq!(error.error_string().unwrap(), c"unspecified launch failure");
}
