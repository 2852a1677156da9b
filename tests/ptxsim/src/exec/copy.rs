//! `cp.async`: the start of a copy.

use super::{Env, addresses, global, shared};
use crate::FaultKind;
use crate::async_copy::Copy;
use crate::counts::lanes;
use crate::fault::{Problem, Step};
use crate::isa::{Address, Word};
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
            global::check_written(block, from[lane], size, lane)?;
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
