//! What the environment sets.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::LazyLock;

/// The settings of the process.
pub(crate) static SETTINGS: LazyLock<Settings> = LazyLock::new(Settings::from_env);

/// What the environment sets, read once.
pub(crate) struct Settings {
    pub(crate) devices: usize,
    /// Name of the card.
    pub(crate) card: Option<String>,
    /// As `cuDriverGetVersion` gives it: 1000 times the major version and 10 times the minor.
    pub(crate) driver_version: i32,
    /// Memory of each device.
    pub(crate) memory_bytes: u64,
    /// The launch that fails as if its kernel had a fault, counted from 1; 0 is none.
    pub(crate) failing_launch: u64,
    /// How tensor cores sum up.
    pub(crate) tensor: Option<String>,
    /// Mixes the order in which blocks run; 0 is the order of their numbers.
    pub(crate) seed: u64,
    pub(crate) trace: Option<PathBuf>,
}

impl Settings {
    fn from_env() -> Self {
        let memory_mb: u64 = number("OFFRAMP_SIM_MEMORY_MB", 4096);
        Self {
            devices: number("OFFRAMP_SIM_DEVICES", 1),
            card: text("OFFRAMP_SIM_CARD"),
            driver_version: number("OFFRAMP_SIM_DRIVER_VERSION", 12_040),
            memory_bytes: memory_mb.saturating_mul(1 << 20),
            failing_launch: number("OFFRAMP_SIM_FAILING_LAUNCH", 0),
            tensor: text("OFFRAMP_SIM_TENSOR"),
            seed: number("OFFRAMP_SIM_SEED", 0),
            trace: std::env::var_os("OFFRAMP_SIM_TRACE").map(PathBuf::from),
        }
    }
}

/// A variable that is set to something.
fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

fn number<T: FromStr>(name: &str, default: T) -> T {
    let Some(text) = text(name) else { return default };
    text.trim().parse().unwrap_or_else(|_| {
        crate::complain::complain(format_args!("{name}: expected a number, found `{text}`"));
        default
    })
}
