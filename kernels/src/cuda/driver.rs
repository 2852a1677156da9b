//! The CUDA driver: found when first asked for, never linked.

use std::ffi::c_int;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use cudarc::driver::{DriverError, result, sys};

use crate::{Error, Result};

/// Where something lies in the device's address space; 0 is nowhere.
pub(crate) type Address = u64;

/// The oldest driver that loads our kernels: PTX 8.0 came with CUDA 12.0 (R525).
const VERSION_MIN: i32 = 12000;

/// Names a library to use as the CUDA driver in place of the system's: [`use_driver`].
pub const DRIVER_VARIABLE: &str = "OFFRAMP_CUDA_DRIVER";

/// Why there is no CUDA device to run on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No driver library on this machine.
    #[error("no CUDA driver: libcuda.so is not installed")]
    NoDriver,
    /// A driver library that was named but cannot be loaded.
    #[error("{path}: not loadable as CUDA driver: {message}")]
    NotLoadable {
        /// The library.
        path: String,
        /// What the loader said.
        message: String,
    },
    /// The driver does not know our PTX.
    #[error("CUDA driver too old: it supports CUDA {found}, the kernels need 12.0 (R525 or later)")]
    OldDriver {
        /// CUDA version of the driver.
        found: String,
    },
    /// A driver, but nothing to drive.
    #[error("the CUDA driver finds no device")]
    NoDevice,
    /// The driver refused.
    #[error("CUDA driver: {0}")]
    Refused(String),
}

/// Loads `path` as the CUDA driver of this process, before anything else asks for one. Its
/// SONAME must be `libcuda.so`. The environment variable [`DRIVER_VARIABLE`] does the same.
///
/// # Errors
/// [`Unavailable::NotLoadable`].
pub fn use_driver(path: &Path) -> Result<(), Unavailable> {
    // SAFETY: the caller vouches for the library as for any driver; loading runs its initialisers.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
        Unavailable::NotLoadable { path: path.display().to_string(), message: error.to_string() }
    })?;
    // A later lookup of `libcuda.so` finds it by its SONAME for as long as it stays loaded.
    std::mem::forget(library);
    Ok(())
}

/// Makes the driver ready, and gives its version: 1000 times the major and 10 times the minor one
/// of CUDA. The answer is the same for the whole process.
pub(super) fn initialise() -> Result<c_int, Unavailable> {
    static DRIVER: OnceLock<Result<c_int, Unavailable>> = OnceLock::new();
    DRIVER.get_or_init(find).clone()
}

fn find() -> Result<c_int, Unavailable> {
    if let Some(path) = std::env::var_os(DRIVER_VARIABLE).filter(|path| !path.is_empty()) {
        use_driver(Path::new(&path))?;
    }
    // SAFETY: this only looks for the library and runs its initialisers.
    if !unsafe { sys::is_culib_present() } {
        return Err(Unavailable::NoDriver);
    }
    result::init().map_err(|error| match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => Unavailable::NoDevice,
        _ => Unavailable::Refused(describe(error)),
    })?;
    let mut version: c_int = 0;
    // SAFETY: the driver writes one integer.
    let asked = unsafe { sys::cuDriverGetVersion(&mut version) };
    asked.result().map_err(|error| Unavailable::Refused(describe(error)))?;
    if version < VERSION_MIN {
        let found = format!("{}.{}", version / 1000, version % 1000 / 10);
        return Err(Unavailable::OldDriver { found });
    }
    Ok(version)
}

/// The primary context of a device, kept while anything lives in it.
pub(super) struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
    /// Memory of the whole device.
    memory_bytes: usize,
}

// SAFETY: a context is a handle that the driver lets any thread use once it is made current
// there, which `enter` does before every use.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks inside.
unsafe impl Sync for Context {}

impl Context {
    /// Of the device of this number, which has so much memory.
    pub(super) fn new(ordinal: usize, memory_bytes: usize) -> Result<Arc<Self>> {
        let device = result::device::get(ordinal as c_int).during("finding the device")?;
        // SAFETY: `device` came from the driver just now.
        let raw = unsafe { result::primary_ctx::retain(device) }.during("making a context")?;
        Ok(Arc::new(Self { device, raw, memory_bytes }))
    }

    /// Memory of the whole device, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Makes it current on this thread.
    pub(super) fn enter(&self) -> Result<()> {
        // SAFETY: the context is retained while `self` lives.
        unsafe { result::ctx::set_current(self.raw) }.during("entering the context")
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // A context that failed cannot be released either: there is nobody to tell.
        // SAFETY: retained once in `new`, released once here.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// What a driver call was for, so that its error says so.
pub(super) trait During<T> {
    fn during(self, what: &'static str) -> Result<T>;
}

impl<T> During<T> for Result<T, DriverError> {
    fn during(self, what: &'static str) -> Result<T> {
        self.map_err(|error| Error::Device {
            device: "cuda".into(),
            message: format!("{what}: {}{}", describe(error), advice(error)),
        })
    }
}

/// `CUDA_ERROR_NO_DEVICE (no CUDA-capable device is detected)`.
pub(super) fn describe(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{name} ({text})"),
        _ => format!("error {}", error.0 as u32),
    }
}

/// What to do about errors after which no call succeeds.
fn advice(error: DriverError) -> &'static str {
    use sys::CUresult as E;
    match error.0 {
        E::CUDA_ERROR_LAUNCH_FAILED
        | E::CUDA_ERROR_ILLEGAL_ADDRESS
        | E::CUDA_ERROR_MISALIGNED_ADDRESS
        | E::CUDA_ERROR_ILLEGAL_INSTRUCTION
        | E::CUDA_ERROR_LAUNCH_TIMEOUT
        | E::CUDA_ERROR_ECC_UNCORRECTABLE => "; the context is lost: start the process again",
        E::CUDA_ERROR_INVALID_PTX | E::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => {
            "; the driver does not take these kernels: a newer driver may"
        }
        _ => "",
    }
}
