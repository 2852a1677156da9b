//! Chooses the machine.

use std::fmt;
use std::str::FromStr;

use offramp_kernels::Device;
use offramp_kernels::cpu::CpuDevice;

use crate::error::{Error, Result};

/// Where to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest device there is.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => Err(format!("unknown device {text:?}: expected auto or cpu")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
        })
    }
}

/// Starts a device; `threads` of 0 is one per core.
pub(crate) fn open(choice: DeviceChoice, threads: usize) -> Result<Box<dyn Device>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores } else { threads };
    if threads > 1024 {
        return Err(Error::Options(format!("{threads} threads: at most 1024")));
    }
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok(Box::new(CpuDevice::new(threads)?)),
    }
}
