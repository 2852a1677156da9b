//! What the codes of errors are called.

use std::ffi::{CStr, c_char, c_int};

use crate::error::{Code, Result, describe};
use crate::ffi::Out;

/// `cuGetErrorName`
pub(crate) fn get_name(code: c_int, out: Out<*const c_char>) -> Result {
    answer(out, describe(code).map(|(name, _)| name))
}

/// `cuGetErrorString`
pub(crate) fn get_text(code: c_int, out: Out<*const c_char>) -> Result {
    answer(out, describe(code).map(|(_, text)| text))
}

fn answer(out: Out<*const c_char>, text: Option<&'static CStr>) -> Result {
    out.set(text.map_or(std::ptr::null(), CStr::as_ptr))?;
    text.map(|_| ()).ok_or(Code::InvalidValue)
}
