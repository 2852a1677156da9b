//! Devices: how many there are, what they say of themselves, and their primary contexts.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::card::{self, card};
use crate::context::Context;
use crate::error::{Code, Result};
use crate::ffi::{Handle, Out};
use crate::settings::SETTINGS;

/// Shared memory a block may have without asking for more.
pub(crate) const SHARED_BYTES: u32 = 48 << 10;
/// Shared memory the driver takes of each block.
pub(crate) const SHARED_BYTES_RESERVED: u32 = 1 << 10;
/// Most threads of a block.
pub(crate) const THREADS_MAX: u32 = 1024;
/// Largest block by axis.
pub(crate) const BLOCK_MAX: [u32; 3] = [1024, 1024, 64];
/// Largest grid by axis.
pub(crate) const GRID_MAX: [u32; 3] = [0x7fff_ffff, 0xffff, 0xffff];

static IS_READY: AtomicBool = AtomicBool::new(false);
static PRIMARY: Mutex<BTreeMap<i32, Primary>> = Mutex::new(BTreeMap::new());

/// A primary context, and how often it is held.
#[derive(Clone, Copy)]
struct Primary {
    context: Handle,
    holders: usize,
}

/// `cuInit`
pub(crate) fn init(flags: u32) -> Result {
    if flags != 0 {
        return Err(Code::InvalidValue);
    }
    card::check()?;
    if SETTINGS.devices == 0 {
        return Err(Code::NoDevice);
    }
    IS_READY.store(true, Ordering::Release);
    Ok(())
}

/// Fails before `cuInit`.
pub(crate) fn check_ready() -> Result {
    if IS_READY.load(Ordering::Acquire) { Ok(()) } else { Err(Code::NotInitialised) }
}

/// Fails unless there is a device of this ordinal.
fn check(device: i32) -> Result {
    check_ready()?;
    let exists = usize::try_from(device).is_ok_and(|device| device < SETTINGS.devices);
    if exists { Ok(()) } else { Err(Code::InvalidDevice) }
}

/// `cuDriverGetVersion`
pub(crate) fn driver_version(out: Out<i32>) -> Result {
    out.set(SETTINGS.driver_version)
}

/// `cuDeviceGetCount`
pub(crate) fn count(out: Out<i32>) -> Result {
    check_ready()?;
    out.set(i32::try_from(SETTINGS.devices).unwrap_or(i32::MAX))
}

/// `cuDeviceGet`
pub(crate) fn get(out: Out<i32>, ordinal: i32) -> Result {
    check(ordinal)?;
    out.set(ordinal)
}

/// `cuDeviceGetName`
pub(crate) fn name(out: Out<c_char>, len: i32, device: i32) -> Result {
    check(device)?;
    let name = format!("PTX interpreter ({})", card().name);
    out.set_text(&name, usize::try_from(len).unwrap_or(0))
}

/// `cuDeviceTotalMem`
pub(crate) fn total_memory(out: Out<usize>, device: i32) -> Result {
    check(device)?;
    out.set(SETTINGS.memory_bytes as usize)
}

/// `cuDeviceGetUuid`
pub(crate) fn uuid(out: Out<[u8; 16]>, device: i32) -> Result {
    check(device)?;
    let mut uuid = *b"PTX interpreter\0";
    uuid[15] = device as u8;
    out.set(uuid)
}

/// `cuDeviceGetPCIBusId`
pub(crate) fn pci_bus_id(out: Out<c_char>, len: i32, device: i32) -> Result {
    check(device)?;
    let id = format!("0000:{:02X}:00.0", device + 1);
    out.set_text(&id, usize::try_from(len).unwrap_or(0))
}

/// `cuDeviceGetAttribute`: the card's answers, 0 for what the interpreter lacks.
pub(crate) fn attribute(out: Out<i32>, attribute: i32, device: i32) -> Result {
    check(device)?;
    let card = card();
    out.set(match attribute {
        1 => THREADS_MAX as i32,
        2..=4 => BLOCK_MAX[attribute as usize - 2] as i32,
        5..=7 => GRID_MAX[attribute as usize - 5] as i32,
        8 => SHARED_BYTES as i32,
        // Constant memory.
        9 => 64 << 10,
        // Threads of a warp.
        10 => 32,
        // Registers of a block, and of a multiprocessor.
        12 | 82 => 64 << 10,
        // Clocks of the cores and of the memory in kHz.
        13 => card.core_khz,
        36 => card.memory_khz,
        16 => card.multiprocessors,
        // Copies beside kernels, mapped host memory, kernels beside kernels, unified addresses,
        // stream priorities, memory pools.
        15 | 19 | 31 | 41 | 78 | 115 => 1,
        // PCI bus.
        33 => device + 1,
        37 => card.bus_bits,
        38 => card.cache_bytes,
        39 => card.threads_per_sm as i32,
        // Copy engines.
        40 => 3,
        75 => card.capability.0 as i32,
        76 => card.capability.1 as i32,
        81 => card.shared_bytes_per_sm as i32,
        97 => card.shared_bytes_max as i32,
        106 => card.blocks_per_sm as i32,
        111 => SHARED_BYTES_RESERVED as i32,
        _ if (1..135).contains(&attribute) => 0,
        _ => return Err(Code::InvalidValue),
    })
}

/// `cuDevicePrimaryCtxRetain`
pub(crate) fn retain_primary(out: Out<Handle>, device: i32) -> Result {
    check(device)?;
    out.check()?;
    let mut primary = PRIMARY.lock();
    let context = match primary.get_mut(&device) {
        Some(held) => {
            Context::get(held.context)?.check()?;
            held.holders += 1;
            held.context
        }
        None => {
            let context = Context::create(device)?;
            primary.insert(device, Primary { context, holders: 1 });
            context
        }
    };
    out.set(context)
}

/// `cuDevicePrimaryCtxRelease`: the last holder ends the context and its fault with it.
pub(crate) fn release_primary(device: i32) -> Result {
    check(device)?;
    let mut primary = PRIMARY.lock();
    let held = primary.get_mut(&device).ok_or(Code::InvalidContext)?;
    held.holders -= 1;
    if held.holders > 0 {
        return Ok(());
    }
    let context = held.context;
    primary.remove(&device);
    Context::destroy(context)
}
