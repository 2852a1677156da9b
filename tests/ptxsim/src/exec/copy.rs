//! `cp.async`: the start of a copy, and its end.

use super::{Env, addresses, early, global, shared, talk};
use crate::FaultKind;
use crate::async_copy::Copy;
use crate::counts::lanes;
use crate::fault::{Problem, Step};
use crate::isa::{Address, Order, Word};
use crate::warp::{Warp, need};

/// A `cp.async`.
pub(super) struct Start<'a> {
    pub(super) bytes: u32,
    pub(super) to: &'a Address,
    pub(super) from: &'a Address,
    /// Bytes to copy; the others become zero.
    pub(super) size: Word,
    pub(super) line: u32,
}

pub(super) fn start(warp: &mut Warp, copy: &Start<'_>, run: u32, env: &mut Env<'_>) -> Step {
    let (to, from) = (addresses(warp, copy.to, run)?, addresses(warp, copy.from, run)?);
    need(warp.file.known(copy.size), run, "the size of a cp.async")?;
    let sizes = *warp.file.word(copy.size);
    let bytes = copy.bytes;
    let mut reads = 0;
    for lane in lanes(run) {
        let size = sizes[lane];
        if size > bytes {
            let found = format!("expected at most {bytes} bytes, found a size of {size}");
            return Err(Problem::new(FaultKind::OutOfBounds, lane as u32, found));
        }
        if size > 0 {
            reads |= 1 << lane;
            let block = global::check(env, from[lane], size, bytes, lane)?;
            early::check_load((warp, lane), block, from[lane], size)?;
            match talk::seen(warp, lane, from[lane], Order::Weak, env) {
                Some(seen) => talk::check_seen(&seen, from[lane], size, lane)?,
                None => global::check_written(block, from[lane], size, lane)?,
            }
        }
        env.shared.check(to[lane], bytes, lane)?;
        let by = warp.toucher(lane, copy.line);
        let to = to[lane] as u32;
        env.shared.begin_copy(to, bytes, by)?;
        warp.copies.add(Copy { to, from: from[lane], size, bytes, by });
    }
    global::count_load(env, &from, reads, bytes);
    shared::count(env, &to, run, bytes);
    Ok(())
}

/// Lands all groups of the lanes in `run` but the `keep` newest; `None`: everything, committed or
/// not.
pub(super) fn wait(warp: &mut Warp, keep: Option<u32>, run: u32, env: &mut Env<'_>) -> Step {
    for copy in warp.copies.take(run, keep) {
        land(warp, copy, env)?;
    }
    Ok(())
}

fn land(warp: &Warp, copy: Copy, env: &mut Env<'_>) -> Step {
    let mut bytes = [0; 16];
    let lane = copy.by.lane as usize;
    if let Some(seen) = talk::seen(warp, lane, copy.from, Order::Weak, env) {
        let from = (copy.from % 16) as usize;
        let size = copy.size as usize;
        bytes[..size].copy_from_slice(&seen.bytes[from..from + size]);
    } else if let Some(block) = env.view.block(copy.from, &mut env.hint) {
        let offset = copy.from - block.base();
        let (whole, rest) = (copy.size / 4 * 4, copy.size % 4);
        for at in (0..whole).step_by(4) {
            let word = block.load(offset + u64::from(at), 4) as u32;
            bytes[at as usize..][..4].copy_from_slice(&word.to_le_bytes());
        }
        for at in whole..whole + rest {
            bytes[at as usize] = block.load(offset + u64::from(at), 1) as u8;
        }
    }
    env.shared.write(copy.to, &bytes[..copy.bytes as usize]);
    env.shared.end_copy(copy.to, copy.bytes, copy.by)
}
