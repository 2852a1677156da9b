//! Accesses to global memory where blocks talk to one another.

use super::{Access, Env};
use crate::FaultKind;
use crate::counts::lanes;
use crate::fault::{Problem, Step};
use crate::isa::{Order, Scope};
use crate::line::Seen;
use crate::memory::Block;
use crate::talk::{Buffer, By, Told, cells};
use crate::warp::Warp;

/// What a block has told others, and what it has yet to.
pub(crate) struct Talk<'a> {
    pub(crate) told: &'a mut Told,
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) look: &'a dyn Fn(),
}

/// A thread as the buffer of its block knows it.
fn by(warp: &Warp, lane: usize, epoch: u32, line: u32) -> By {
    By { thread: warp.index * 32 + lane as u32, syncs: warp.syncs, epoch, line, ..By::default() }
}

/// The line at an address as a thread sees it, if that may be something else than what is there.
pub(super) fn seen(
    warp: &Warp,
    lane: usize,
    address: u64,
    order: Order,
    env: &Env<'_>,
) -> Option<Seen> {
    let talk = env.talk.as_ref()?;
    if !talk.told.knows(address) {
        return None;
    }
    let by = by(warp, lane, 0, 0);
    Some(talk.told.see(env.view, address, (env.block, talk.buffer, by), order))
}

/// Fails where a thread sees nothing in `bytes` at an address.
pub(super) fn check_seen(seen: &Seen, address: u64, bytes: u32, lane: usize) -> Step {
    let wanted = cells(address, bytes);
    if seen.written & wanted == wanted {
        return Ok(());
    }
    let found = format!(
        "read of {bytes} bytes at {address:#x}, which nothing was written to that this thread may \
         rely on"
    );
    Err(Problem::new(FaultKind::UninitialisedMemory, lane as u32, found))
}

/// Keeps a weak store back; false where it has to go to memory at once.
pub(super) fn keep(
    (warp, lane): (&Warp, usize),
    access: Access,
    address: u64,
    value: impl Iterator<Item = u64>,
    env: &mut Env<'_>,
) -> bool {
    let Some(talk) = &mut env.talk else { return false };
    let item = access.item.bytes as usize;
    if !access.order.is_weak() || item == 1 {
        return false;
    }
    let mut bytes = [0; 16];
    let mut len = 0;
    for value in value {
        bytes[len..len + item].copy_from_slice(&value.to_le_bytes()[..item]);
        len += item;
    }
    let by = by(warp, lane, talk.buffer.epoch(), access.line);
    talk.buffer.put(address, &bytes[..len], by);
    talk.told.note(address);
    true
}

/// Before a strong access or one of a single byte: what the block itself has stored there is in
/// memory, and everyone sees what is.
pub(super) fn settle(address: u64, bytes: u32, block: &Block, env: &mut Env<'_>) {
    let Some(talk) = &mut env.talk else { return };
    if !talk.told.knows(address) {
        return;
    }
    let wanted = cells(address, bytes);
    talk.told.settle(address, wanted);
    if let Some((taken, bytes)) = talk.buffer.remove(address, wanted) {
        for cell in (0..8).filter(|cell| taken >> cell & 1 != 0) {
            let at = 2 * cell as usize;
            let value = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
            let offset = crate::talk::line(address) - block.base() + at as u64;
            block.store(offset, 2, value.into());
        }
    }
}

/// What comes before strong writes: what they release is published.
pub(super) fn release(warp: &Warp, order: Order, scope: Scope, run: u32, env: &mut Env<'_>) {
    let Some(talk) = &mut env.talk else { return };
    if order.releases() {
        let who = (warp.index, run, warp.syncs);
        talk.told.release(env.view, (env.block, talk.buffer), who, scope);
    }
}

/// What a strong read of each lane lets its thread know.
pub(super) fn has_read(
    (warp, run): (&Warp, u32),
    order: Order,
    scope: Scope,
    addresses: &[u64; 32],
    env: &mut Env<'_>,
) {
    let Some(talk) = &mut env.talk else { return };
    if order.is_weak() || scope == Scope::Block {
        return;
    }
    for lane in lanes(run) {
        talk.told.read(talk.buffer, addresses[lane], by(warp, lane, 0, 0), order);
    }
}

/// What a strong write of one lane tells.
pub(super) fn has_written(
    (warp, lane): (&Warp, usize),
    order: Order,
    scope: Scope,
    address: u64,
    is_atomic: bool,
    env: &mut Env<'_>,
) {
    let Some(talk) = &mut env.talk else { return };
    if !order.is_weak() && scope != Scope::Block {
        let by = by(warp, lane, 0, 0);
        talk.told.write(talk.buffer, (env.block, address), by, order, is_atomic);
    }
    (talk.look)();
}

/// `membar` and `fence`.
pub(super) fn fence(warp: &Warp, scope: Scope, run: u32, env: &mut Env<'_>) {
    if scope == Scope::Block {
        return;
    }
    release(warp, Order::AcquireRelease, scope, run, env);
    let Some(talk) = &mut env.talk else { return };
    for lane in lanes(run) {
        talk.buffer.fence(by(warp, lane, 0, 0), env.block);
    }
}
