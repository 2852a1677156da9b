//! Where a row may leave by what was asked for it, under the thresholds of the pass.

use offramp::{ExitWindow, Exits};
use offramp_protocol::InferOptions;

/// By ramp. A floor of scores is kept by leaving only behind the last ramp whose threshold lies
/// below it.
pub(crate) fn window(options: &InferOptions, exits: &Exits, sites: &[usize]) -> ExitWindow {
    if options.exits_off {
        return ExitWindow { first: sites.len() as u32, last: u32::MAX };
    }
    let first = first(options, exits, sites);
    let last = deepest(options, exits, sites).filter(|&last| last >= first);
    ExitWindow { first, last: last.unwrap_or(u32::MAX) }
}

/// The first ramp at which it may leave.
fn first(options: &InferOptions, exits: &Exits, sites: &[usize]) -> u32 {
    let at_least = |site: u16| sites.iter().take_while(|&&own| own < usize::from(site)).count();
    let is_below = |ramp: &usize| {
        exits.active[*ramp] && f64::from(exits.thresholds[*ramp]) < f64::from(options.score_floor)
    };
    let floor = (0..sites.len()).rev().find(is_below).map_or(0, |ramp| ramp + 1);
    options.shallowest_site.map_or(0, at_least).max(floor) as u32
}

/// The ramp at which it leaves whatever its score.
fn deepest(options: &InferOptions, exits: &Exits, sites: &[usize]) -> Option<u32> {
    let deepest = usize::from(options.deepest_site?);
    let is_last = |&ramp: &usize| exits.active[ramp] && sites[ramp] <= deepest;
    (0..sites.len()).rev().find(is_last).map(|ramp| ramp as u32)
}
