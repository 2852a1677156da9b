//! The cards the driver can pretend to have: what tells them apart.
//!
//! Sources: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"; data
//! sheets of the cards.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};

use offramp_ptxsim::{Chip, Tensor};

use parking_lot::Mutex;

use crate::complain::complain;
use crate::error::{Code, Result};
use crate::settings::SETTINGS;

/// A card.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Card {
    /// How it is asked for.
    pub(crate) name: &'static str,
    /// Compute capability, major and minor.
    pub(crate) capability: (u32, u32),
    pub(crate) multiprocessors: i32,
    /// Shared memory a block may have after asking.
    pub(crate) shared_bytes_max: u32,
    /// Shared memory of a multiprocessor.
    pub(crate) shared_bytes_per_sm: u32,
    pub(crate) threads_per_sm: u32,
    pub(crate) blocks_per_sm: u32,
    /// Bytes of the second-level cache.
    pub(crate) cache_bytes: i32,
    /// Clock of the cores in kHz.
    pub(crate) core_khz: i32,
    /// Clock of the memory in kHz.
    pub(crate) memory_khz: i32,
    /// Width of the memory bus in bits.
    pub(crate) bus_bits: i32,
    /// How its tensor cores sum up.
    pub(crate) tensor: Tensor,
}

/// All cards; the first is taken where none is asked for.
static CARDS: [Card; 4] = [
    Card {
        name: "h100",
        capability: (9, 0),
        multiprocessors: 132,
        shared_bytes_max: 227 << 10,
        shared_bytes_per_sm: 228 << 10,
        threads_per_sm: 2048,
        blocks_per_sm: 32,
        cache_bytes: 50 << 20,
        core_khz: 1_980_000,
        memory_khz: 2_619_000,
        bus_bits: 5120,
        tensor: Tensor::Hopper,
    },
    Card {
        name: "a100",
        capability: (8, 0),
        multiprocessors: 108,
        shared_bytes_max: 163 << 10,
        shared_bytes_per_sm: 164 << 10,
        threads_per_sm: 2048,
        blocks_per_sm: 32,
        cache_bytes: 40 << 20,
        core_khz: 1_410_000,
        memory_khz: 1_215_000,
        bus_bits: 5120,
        tensor: Tensor::Ampere,
    },
    Card {
        name: "l4",
        capability: (8, 9),
        multiprocessors: 58,
        shared_bytes_max: 99 << 10,
        shared_bytes_per_sm: 100 << 10,
        threads_per_sm: 1536,
        blocks_per_sm: 24,
        cache_bytes: 48 << 20,
        core_khz: 2_040_000,
        memory_khz: 6_251_000,
        bus_bits: 192,
        tensor: Tensor::Ampere,
    },
    Card {
        name: "rtx4090",
        capability: (8, 9),
        multiprocessors: 128,
        shared_bytes_max: 99 << 10,
        shared_bytes_per_sm: 100 << 10,
        threads_per_sm: 1536,
        blocks_per_sm: 24,
        cache_bytes: 72 << 20,
        core_khz: 2_520_000,
        memory_khz: 10_501_000,
        bus_bits: 384,
        tensor: Tensor::Ampere,
    },
];

static CHOSEN: OnceLock<&'static Card> = OnceLock::new();
/// How tensor cores sum up, where that is not the card's way.
static TENSOR: LazyLock<Mutex<Option<Tensor>>> = LazyLock::new(|| Mutex::new(from_env()));
/// The order of blocks.
static SEED: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(SETTINGS.seed));

/// The card of every device of this process.
pub(crate) fn card() -> &'static Card {
    CHOSEN.get_or_init(|| match SETTINGS.card.as_deref() {
        None => &CARDS[0],
        Some(name) => find(name).unwrap_or(&CARDS[0]),
    })
}

/// Fails where the environment asks for a card that there is not.
pub(crate) fn check() -> Result {
    let Some(name) = SETTINGS.card.as_deref() else { return Ok(()) };
    if CHOSEN.get().is_some() || find(name).is_some() {
        return Ok(());
    }
    complain(format_args!("OFFRAMP_SIM_CARD: {}", unknown(name)));
    Err(Code::InvalidValue)
}

/// Takes the card of this name, whatever the environment says; fails where there is none, or
/// another one is in use.
pub(crate) fn choose(name: &str) -> Result {
    let Some(wanted) = find(name) else {
        complain(format_args!("{}", unknown(name)));
        return Err(Code::InvalidValue);
    };
    if *CHOSEN.get_or_init(|| wanted) == wanted { Ok(()) } else { Err(Code::IllegalState) }
}

/// What the environment says of tensor cores.
fn from_env() -> Option<Tensor> {
    let name = SETTINGS.tensor.as_deref()?;
    let found = tensor(name);
    if found.is_none() {
        let ways = "exact, ampere or hopper";
        complain(format_args!("OFFRAMP_SIM_TENSOR: expected {ways}, found `{name}`"));
    }
    found
}

/// Tensor cores of all launches from now on sum up as this one says.
pub(crate) fn sum_as(name: &str) -> Result {
    *TENSOR.lock() = Some(tensor(name).ok_or(Code::InvalidValue)?);
    Ok(())
}

fn tensor(name: &str) -> Option<Tensor> {
    let ways = [("exact", Tensor::Exact), ("ampere", Tensor::Ampere), ("hopper", Tensor::Hopper)];
    ways.iter().find(|way| way.0 == name.trim()).map(|way| way.1)
}

/// Blocks of all launches from now on run in the order of this seed.
pub(crate) fn mix(seed: u64) {
    SEED.store(seed, Ordering::Relaxed);
}

fn find(name: &str) -> Option<&'static Card> {
    CARDS.iter().find(|card| card.name == name.trim())
}

fn unknown(name: &str) -> String {
    let names = CARDS.each_ref().map(|card| card.name).join(", ");
    format!("expected a card of {names}, found `{name}`")
}

impl Card {
    /// What its launches run on.
    pub(crate) fn chip(&self) -> Chip {
        let (shared_max, seed) = (self.shared_bytes_max, SEED.load(Ordering::Relaxed));
        let tensor = TENSOR.lock().unwrap_or(self.tensor);
        Chip { shared_max, seed, tensor }
    }

    /// Its architecture as PTX numbers it: 80 for 8.0.
    pub(crate) fn architecture(&self) -> u32 {
        self.capability.0 * 10 + self.capability.1
    }
}
