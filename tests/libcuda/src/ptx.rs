//! Which PTX a driver takes.

use offramp_ptxsim::architecture;

use crate::card::card;
use crate::error::Code;
use crate::settings::SETTINGS;

/// Newest PTX by driver version, each 1000 and 10 times as `cuDriverGetVersion` counts.
/// Source: release notes of the PTX ISA.
const NEWEST: [(i32, (u32, u32)); 16] = [
    (13_000, (9, 0)),
    (12_090, (8, 8)),
    (12_080, (8, 7)),
    (12_070, (8, 6)),
    (12_050, (8, 5)),
    (12_040, (8, 4)),
    (12_030, (8, 3)),
    (12_020, (8, 2)),
    (12_010, (8, 1)),
    (12_000, (8, 0)),
    (11_080, (7, 8)),
    (11_070, (7, 7)),
    (11_060, (7, 6)),
    (11_050, (7, 5)),
    (11_040, (7, 4)),
    (11_000, (7, 0)),
];

/// Fails for PTX that is newer than the driver.
pub(crate) fn check_version(text: &str) -> Result<(), (Code, String)> {
    let Some(found) = version(text) else {
        return Err((Code::InvalidPtx, "expected a .version, found none".to_owned()));
    };
    let driver = SETTINGS.driver_version;
    let newest = NEWEST.iter().find(|(since, _)| driver >= *since).map_or((6, 5), |row| row.1);
    if found <= newest {
        return Ok(());
    }
    let (major, minor) = newest;
    let what = format!("expected PTX up to {major}.{minor}, found {}.{}", found.0, found.1);
    Err((Code::UnsupportedPtxVersion, what))
}

/// Fails for PTX of a target the device is not. What `sm_90a` and its like ask for only that very
/// architecture has.
pub(crate) fn check_target(target: &str) -> Result<(), (Code, String)> {
    let own = card().architecture();
    let is_fine = architecture(target)
        .is_some_and(|wanted| wanted == own || (wanted < own && !target.ends_with('a')));
    if is_fine {
        return Ok(());
    }
    let what = format!("expected a target up to sm_{own}, found `{target}`");
    Err((Code::InvalidPtx, what))
}

/// What `.version` says.
fn version(text: &str) -> Option<(u32, u32)> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(".version"))?;
    let (major, minor) = line.split_whitespace().next()?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
