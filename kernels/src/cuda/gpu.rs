//! The CUDA devices of this machine, and what they can do.

use std::ffi::c_int;

use cudarc::driver::{DriverError, result, sys};

use super::driver::{Unavailable, describe, initialise};

/// The oldest compute capability our kernels run on: they copy asynchronously (`cp.async`).
const COMPUTE_MIN: (i32, i32) = (8, 0);

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
    /// Shared memory that a block may ask for, in bytes.
    pub block_shared_bytes: usize,
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
        CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN as BLOCK_SHARED,
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
        block_shared_bytes: attribute(BLOCK_SHARED)? as usize,
    })
}
