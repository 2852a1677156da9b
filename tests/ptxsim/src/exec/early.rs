//! What threads may not do before they have waited for the grids in front of theirs.

use super::{Env, addresses};
use crate::FaultKind;
use crate::counts::lanes;
use crate::fault::{Problem, Step};
use crate::isa::{Address, Order};
use crate::memory::Block;
use crate::warp::Warp;

/// Fails where lane `lane` has not waited and kernels write there.
#[inline]
pub(super) fn check_load(
    (warp, lane): (&Warp, usize),
    block: &Block,
    address: u64,
    bytes: u32,
) -> Step {
    let is_early = warp.early >> lane & 1 != 0;
    if is_early && block.is_of_kernels(address - block.base(), bytes) {
        return Err(too_early(lane, &format!("read of {address:#x}, which kernels write,")));
    }
    Ok(())
}

/// Fails where a load of what nobody may write finds what kernels write: in a launch that begins
/// early they may still do so, and a cache may have what was there before.
#[inline]
pub(super) fn check_constant(
    (order, lane): (Order, usize),
    block: &Block,
    address: u64,
    bytes: u32,
    env: &Env<'_>,
) -> Step {
    let is_at_risk = env.is_early && order == Order::Constant;
    if is_at_risk && block.is_of_kernels(address - block.base(), bytes) {
        let found = format!("read of {address:#x}, which kernels write, by way of `.nc`");
        return Err(Problem::new(FaultKind::Stale, lane as u32, found));
    }
    Ok(())
}

/// Fails where lane `lane` has not waited.
#[inline]
pub(super) fn check_store((warp, lane): (&Warp, usize), address: u64) -> Step {
    if warp.early >> lane & 1 != 0 {
        return Err(too_early(lane, &format!("write to {address:#x}")));
    }
    Ok(())
}

/// Fails where one of these lanes ends without having waited.
#[inline]
pub(crate) fn check_waited(early: u32) -> Step {
    if early == 0 {
        return Ok(());
    }
    Err(too_early(early.trailing_zeros() as usize, "the end of a thread"))
}

#[cold]
fn too_early(lane: usize, what: &str) -> Box<Problem> {
    let found = format!("{what} before griddepcontrol.wait");
    Problem::new(FaultKind::BeforeWait, lane as u32, found)
}

/// `prefetch`: what is brought to a cache early may be old when it is read.
pub(super) fn prefetch(warp: &Warp, at: &Address, run: u32, env: &mut Env<'_>) -> Step {
    let addresses = addresses(warp, at, run)?;
    for lane in lanes(run) {
        // A hint may point anywhere.
        if let Some(block) = env.view.block(addresses[lane], &mut env.hint) {
            check_load((warp, lane), block, addresses[lane], 1)?;
        }
    }
    Ok(())
}
