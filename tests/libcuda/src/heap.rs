//! The memory of a context: what is allocated, where it lies and how much is left.

use std::collections::BTreeMap;

use offramp_ptxsim::{Contents, Memory};

use parking_lot::Mutex;

use crate::error::{Code, Result};

/// No machine has as much; sizes past it would only overflow.
const BYTES_MAX: u64 = 1 << 44;

/// Memory of a context, of the device and of the host.
pub(crate) struct Heap {
    pub(crate) memory: Memory,
    capacity: u64,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    by_address: BTreeMap<u64, Block>,
    /// Blocks given back that a stream still has to get past.
    leaving: BTreeMap<u64, Block>,
    device_bytes: u64,
}

#[derive(Clone, Copy)]
struct Block {
    bytes: u64,
    place: Place,
}

/// Where a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Device,
    /// Pinned and mapped, with the flags it was asked for with.
    Host(u32),
}

impl Heap {
    /// An empty heap of `capacity` bytes on the device.
    pub(crate) fn new(capacity: u64) -> Self {
        Self { memory: Memory::new(), capacity, blocks: Mutex::default() }
    }

    /// Bytes free on the device, and all there are.
    pub(crate) fn free_and_total(&self) -> (u64, u64) {
        (self.capacity - self.blocks.lock().device_bytes, self.capacity)
    }

    /// The address of a new block.
    pub(crate) fn alloc(&self, bytes: u64, place: Place) -> Result<u64> {
        if bytes == 0 {
            return Err(Code::InvalidValue);
        }
        let mut blocks = self.blocks.lock();
        let room = match place {
            Place::Device => self.capacity - blocks.device_bytes,
            Place::Host(_) => BYTES_MAX,
        };
        if bytes > room {
            return Err(Code::OutOfMemory);
        }
        let contents = match place {
            Place::Device => Contents::Undefined,
            Place::Host(_) => Contents::Defined,
        };
        let address = self.memory.alloc(bytes, contents).ok_or(Code::OutOfMemory)?;
        blocks.by_address.insert(address, Block { bytes, place });
        if place == Place::Device {
            blocks.device_bytes += bytes;
        }
        Ok(address)
    }

    /// Where the block that begins at `address` lies.
    pub(crate) fn place_of_block(&self, address: u64) -> Result<Place> {
        self.blocks.lock().by_address.get(&address).map(|b| b.place).ok_or(Code::InvalidValue)
    }

    /// Takes the block that begins at `address` back: no new call may name it. Work under way
    /// may still use it until it is released.
    pub(crate) fn retire(&self, address: u64) -> Result {
        let mut blocks = self.blocks.lock();
        let block = blocks.by_address.remove(&address).ok_or(Code::InvalidValue)?;
        blocks.leaving.insert(address, block);
        Ok(())
    }

    /// Releases a block that was taken back.
    pub(crate) fn release(&self, address: u64) {
        let mut blocks = self.blocks.lock();
        let Some(block) = blocks.leaving.remove(&address) else { return };
        if block.place == Place::Device {
            blocks.device_bytes -= block.bytes;
        }
        self.memory.free(address);
    }

    /// Where `bytes` bytes at `address` lie; fails unless one block holds them all.
    pub(crate) fn place(&self, address: u64, bytes: u64) -> Result<Place> {
        let blocks = self.blocks.lock();
        let below = blocks.by_address.range(..=address).next_back();
        let (&base, block) = below.ok_or(Code::InvalidValue)?;
        let end = (address - base).checked_add(bytes);
        match end {
            Some(end) if end <= block.bytes => Ok(block.place),
            _ => Err(Code::InvalidValue),
        }
    }
}
