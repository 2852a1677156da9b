//! `offramp devices`: what there is to run on, and why a device cannot be used.

use clap::Args;
use offramp::DeviceInfo;
use serde::Serialize;

use crate::args::JsonArg;
use crate::failure::Result;
use crate::out::Out;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp devices
  offramp devices --json";

/// Flags of `devices`.
#[derive(Args, Debug)]
pub(crate) struct Devices {
    #[command(flatten)]
    json: JsonArg,
}

/// One device as JSON tells it.
#[derive(Serialize)]
struct About<'a> {
    device: &'a str,
    name: &'a str,
    memory_bytes: Option<usize>,
    shared_bytes: Option<usize>,
    usable: bool,
    reason: Option<&'a str>,
}

/// Runs the verb.
pub(crate) fn run(args: &Devices) -> Result<()> {
    let devices = offramp::devices()?;
    let mut out = Out::stdout();
    if args.json.json {
        let about: Vec<_> = devices.iter().map(About::of).collect();
        out.json(&about)?;
        return out.flush();
    }
    let mut table = Table::new(&["--device", "", "memory", "shared"]);
    for device in &devices {
        let name = match &device.refusal {
            Some(reason) => format!("{}: {reason}", device.name),
            None => device.name.clone(),
        };
        let memory = in_units(device.memory_bytes, 20, "MiB");
        let shared = in_units(device.shared_bytes, 10, "KiB");
        table.texts([device.choice.clone(), name, memory, shared]);
    }
    out.line(table)?;
    out.flush()
}

/// `4096 MiB`; nothing where there is none.
fn in_units(bytes: Option<usize>, shift: u32, unit: &str) -> String {
    bytes.map_or(String::new(), |bytes| format!("{} {unit}", bytes >> shift))
}

impl<'a> About<'a> {
    fn of(device: &'a DeviceInfo) -> Self {
        Self {
            device: &device.choice,
            name: &device.name,
            memory_bytes: device.memory_bytes,
            shared_bytes: device.shared_bytes,
            usable: device.refusal.is_none(),
            reason: device.refusal.as_deref(),
        }
    }
}
