//! The CUDA driver: found when first asked for, never linked.

use std::ffi::{CString, c_int, c_void};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use cudarc::driver::{DriverError, result, sys};

use crate::{Error, Result};

/// The oldest driver that loads our kernels: PTX 8.0 came with CUDA 12.0 (R525).
const VERSION_MIN: i32 = 12000;
/// The oldest compute capability our kernels run on: they copy asynchronously (`cp.async`).
const COMPUTE_MIN: (i32, i32) = (8, 0);

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

/// Makes the driver ready; the answer is the same for the whole process.
pub(super) fn initialise() -> Result<(), Unavailable> {
    static DRIVER: OnceLock<Result<(), Unavailable>> = OnceLock::new();
    DRIVER.get_or_init(find).clone()
}

fn find() -> Result<(), Unavailable> {
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
    Ok(())
}

/// A CUDA device as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Number by which it is opened.
    pub ordinal: usize,
    /// Marketing name.
    pub name: String,
    /// Compute capability.
    pub compute: (i32, i32),
    /// Streaming multiprocessors.
    pub multiprocessors: usize,
    /// Memory of the whole device, in bytes.
    pub memory_bytes: usize,
}

impl Gpu {
    /// Why our kernels cannot run on it, if they cannot.
    pub fn refusal(&self) -> Option<String> {
        let (found, least) = (self.compute, COMPUTE_MIN);
        (found < least).then(|| {
            format!(
                "compute capability {}.{}: at least {}.{} needed",
                found.0, found.1, least.0, least.1
            )
        })
    }
}

/// The CUDA devices of this machine, usable or not.
///
/// # Errors
/// Why there is none.
pub fn gpus() -> Result<Vec<Gpu>, Unavailable> {
    initialise()?;
    let refused = |error| Unavailable::Refused(describe(error));
    let count = result::device::get_count().map_err(refused)?;
    if count < 1 {
        return Err(Unavailable::NoDevice);
    }
    (0..count).map(|ordinal| gpu(ordinal).map_err(refused)).collect()
}

fn gpu(ordinal: c_int) -> Result<Gpu, DriverError> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT as MULTIPROCESSORS,
    };
    let device = result::device::get(ordinal)?;
    // SAFETY: `device` came from the driver just now.
    let attribute = |which| unsafe { result::device::get_attribute(device, which) };
    Ok(Gpu {
        ordinal: ordinal as usize,
        name: result::device::get_name(device)?,
        compute: (attribute(MAJOR)?, attribute(MINOR)?),
        multiprocessors: attribute(MULTIPROCESSORS)? as usize,
        // SAFETY: as above.
        memory_bytes: unsafe { result::device::total_mem(device) }?,
    })
}

/// The primary context of a device, kept while anything lives in it.
pub(super) struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
}

// SAFETY: a context is a handle that the driver lets any thread use once it is made current
// there, which `enter` does before every use.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks inside.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn new(ordinal: usize) -> Result<Arc<Self>> {
        let device = result::device::get(ordinal as c_int).during("finding the device")?;
        // SAFETY: `device` came from the driver just now.
        let raw = unsafe { result::primary_ctx::retain(device) }.during("making a context")?;
        Ok(Arc::new(Self { device, raw }))
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

/// Kernels of one PTX text.
pub(super) struct Module {
    raw: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: a handle, used under `Context::enter`.
unsafe impl Send for Module {}

impl Module {
    pub(super) fn load(context: &Arc<Context>, what: &'static str, ptx: &str) -> Result<Self> {
        context.enter()?;
        let text = CString::new(ptx).map_err(|_| Error::mismatch(what, "text", "a zero byte"))?;
        // SAFETY: the image is a text that ends in zero, alive during the call.
        let raw = unsafe { result::module::load_data(text.as_ptr().cast::<c_void>()) };
        Ok(Self { raw: raw.during(what)?, context: Arc::clone(context) })
    }

    pub(super) fn function(&self, entry: &'static str) -> Result<Function> {
        let name = CString::new(entry).map_err(|_| Error::mismatch("kernel", "a name", entry))?;
        // SAFETY: the module is loaded while `self` lives.
        let raw = unsafe { result::module::get_function(self.raw, name) }.during(entry)?;
        Ok(Function(raw))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.enter().is_ok() {
            // SAFETY: loaded once, unloaded once; functions are not used after their module.
            let _ = unsafe { result::module::unload(self.raw) };
        }
    }
}

/// A kernel of a [`Module`], valid while that lives.
#[derive(Clone, Copy)]
pub(super) struct Function(pub(super) sys::CUfunction);

// SAFETY: a handle, used under `Context::enter`.
unsafe impl Send for Function {}

impl Function {
    /// Lets launches ask for this much dynamic shared memory, beyond the usual 48 KiB.
    pub(super) fn allow_shared(&self, bytes: u32) -> Result<()> {
        use sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as LIMIT;
        // SAFETY: the function's module is loaded.
        unsafe { result::function::set_function_attribute(self.0, LIMIT, bytes as c_int) }
            .during("asking for shared memory")
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
fn describe(error: DriverError) -> String {
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
