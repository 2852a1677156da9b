//! Calls on functions: what a kernel needs, and what it is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use offramp_ptxsim::Kernel;

use crate::card::card;
use crate::context::Context;
use crate::device::{SHARED_BYTES, SHARED_BYTES_RESERVED};
use crate::error::{Code, Result};
use crate::ffi::{Handle, Out};
use crate::table::Table;

/// Functions of all contexts.
pub(crate) static FUNCTIONS: Table<Function> = Table::new();

/// `CU_FUNC_ATTRIBUTE_PTX_VERSION`
const PTX_VERSION: i32 = 5;
/// `CU_FUNC_ATTRIBUTE_BINARY_VERSION`
const BINARY_VERSION: i32 = 6;
/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`
const DYNAMIC_SHARED_BYTES_MAX: i32 = 8;
/// `CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT`
const CARVEOUT: i32 = 9;

/// A kernel in a context.
pub(crate) struct Function {
    pub(crate) context: Arc<Context>,
    pub(crate) kernel: Kernel,
    /// The architecture that its PTX is for.
    ptx_version: u32,
    /// Most dynamic shared memory a launch may have.
    dynamic_shared_bytes_max: AtomicU32,
}

impl Function {
    pub(crate) fn new(context: &Arc<Context>, kernel: Kernel, ptx_version: u32) -> Self {
        let room = SHARED_BYTES.saturating_sub(kernel.shared_bytes());
        Self {
            context: Arc::clone(context),
            kernel,
            ptx_version,
            dynamic_shared_bytes_max: AtomicU32::new(room),
        }
    }

    /// Most dynamic shared memory a launch may have now.
    pub(crate) fn dynamic_shared_bytes_max(&self) -> u32 {
        self.dynamic_shared_bytes_max.load(Ordering::Relaxed)
    }
}

/// The function of a handle.
pub(crate) fn get(function: Handle) -> Result<Arc<Function>> {
    let function = FUNCTIONS.get(function)?;
    function.context.check()?;
    Ok(function)
}

/// `cuFuncGetAttribute`: registers and local memory are not known, and 0.
pub(crate) fn attribute(out: Out<i32>, attribute: i32, function: Handle) -> Result {
    let function = get(function)?;
    out.set(match attribute {
        0 => function.kernel.threads_max() as i32,
        1 => function.kernel.shared_bytes() as i32,
        PTX_VERSION => function.ptx_version as i32,
        // Code is made for the card.
        BINARY_VERSION => card().architecture() as i32,
        DYNAMIC_SHARED_BYTES_MAX => function.dynamic_shared_bytes_max() as i32,
        CARVEOUT => -1,
        _ if (2..16).contains(&attribute) => 0,
        _ => return Err(Code::InvalidValue),
    })
}

/// `cuFuncSetAttribute`
pub(crate) fn set_attribute(function: Handle, attribute: i32, value: i32) -> Result {
    let function = get(function)?;
    let room = card().shared_bytes_max.saturating_sub(function.kernel.shared_bytes());
    match (attribute, u32::try_from(value)) {
        (DYNAMIC_SHARED_BYTES_MAX, Ok(bytes)) if bytes <= room => {
            function.dynamic_shared_bytes_max.store(bytes, Ordering::Relaxed);
            Ok(())
        }
        (CARVEOUT, _) if (-1..=100).contains(&value) => Ok(()),
        _ => Err(Code::InvalidValue),
    }
}

/// `cuOccupancyMaxActiveBlocksPerMultiprocessor`: by threads and shared memory; registers are
/// not known.
pub(crate) fn blocks_per_sm(
    out: Out<i32>,
    function: Handle,
    threads: i32,
    shared_bytes: usize,
) -> Result {
    let function = get(function)?;
    let threads = u32::try_from(threads).ok().filter(|&threads| threads > 0);
    let threads = threads.ok_or(Code::InvalidValue)?.next_multiple_of(32);
    if threads > function.kernel.threads_max().next_multiple_of(32) {
        return out.set(0);
    }
    let own_bytes = function.kernel.shared_bytes() + SHARED_BYTES_RESERVED;
    let shared_bytes = u32::try_from(shared_bytes).unwrap_or(u32::MAX).saturating_add(own_bytes);
    let card = card();
    let blocks = (card.threads_per_sm / threads).min(card.shared_bytes_per_sm / shared_bytes);
    out.set(blocks.min(card.blocks_per_sm) as i32)
}
