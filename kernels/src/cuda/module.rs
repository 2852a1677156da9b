//! Kernels as the driver has loaded them.

use std::ffi::{CString, c_int, c_void};
use std::sync::Arc;

use cudarc::driver::{result, sys};

use super::driver::{Context, During};
use crate::{Error, Result};

/// Kernels of one PTX text.
pub(super) struct Module {
    raw: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: a handle, used under `Context::enter`.
unsafe impl Send for Module {}
// SAFETY: as above; the driver locks inside.
unsafe impl Sync for Module {}

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
// SAFETY: as above; the driver locks inside.
unsafe impl Sync for Function {}

impl Function {
    /// Makes the driver load its code now, where it would wait for the first launch.
    pub(super) fn load(&self) -> Result<()> {
        use sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_NUM_REGS as REGISTERS;
        let mut registers: c_int = 0;
        // SAFETY: the function's module is loaded; the driver writes one integer.
        unsafe { sys::cuFuncGetAttribute(&mut registers, REGISTERS, self.0) }
            .result()
            .during("loading a kernel")
    }

    /// Lets launches ask for this much dynamic shared memory, beyond the usual 48 KiB.
    pub(super) fn allow_shared(&self, bytes: u32) -> Result<()> {
        use sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES as LIMIT;
        self.set(LIMIT, bytes as c_int)
    }

    /// Asks for a multiprocessor's memory to be shared memory rather than cache, as far as it
    /// goes, so that as many blocks as possible are resident.
    pub(super) fn prefer_shared(&self) -> Result<()> {
        use sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT as SHARE;
        self.set(SHARE, 100)
    }

    fn set(&self, attribute: sys::CUfunction_attribute, value: c_int) -> Result<()> {
        // SAFETY: the function's module is loaded.
        unsafe { result::function::set_function_attribute(self.0, attribute, value) }
            .during("asking for shared memory")
    }
}
