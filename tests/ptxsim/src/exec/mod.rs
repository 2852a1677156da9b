//! Runs one instruction in the lanes of a mask.

mod atomic;
mod compute;
mod copy;
mod early;
mod generic;
mod global;
mod matrix;
mod moves;
mod shared;
mod small;
mod talk;
mod warp_wide;

use crate::fault::Step;
use crate::isa::{Address, Op, Reg, Space};
use crate::kernel::Program;
use crate::memory::{self, View};
use crate::shared::{Shared, Toucher};
use crate::warp::{Warp, need};
use crate::{Counts, Tensor};

/// What the warps of a block share.
pub(crate) struct Env<'a> {
    pub(crate) program: &'a Program,
    pub(crate) view: &'a View,
    pub(crate) params: &'a [u8],
    pub(crate) shared: &'a mut Shared,
    pub(crate) counts: &'a mut Counts,
    pub(crate) tensor: Tensor,
    /// Where blocks talk to one another.
    pub(crate) talk: Option<Talk<'a>>,
    /// Number of the block in its grid.
    pub(crate) block: u32,
    /// The launch may have begun before those in front of it have ended.
    pub(crate) is_early: bool,
    /// Where in `view` the last access was.
    pub(crate) hint: usize,
}

pub(crate) use early::check_waited;
pub(crate) use talk::Talk;
pub(crate) use warp_wide::{Group, group};

/// Runs `op` in the lanes of `run`.
#[inline]
pub(crate) fn execute(warp: &mut Warp, op: &Op, run: u32, line: u32, env: &mut Env<'_>) -> Step {
    match op {
        Op::Load { space, item, order, scope, d, at } => {
            memory::order(*order);
            let (space, item, order, scope) = (*space, *item, *order, *scope);
            let access = Access { space, item, order, scope, line };
            generic::load(warp, access, d, at, run, env)
        }
        Op::Store { space, item, order, scope, s, at } => {
            memory::order(*order);
            let (space, item, order, scope) = (*space, *item, *order, *scope);
            let access = Access { space, item, order, scope, line };
            generic::store(warp, access, s, at, run, env)
        }
        Op::Atomic(atomic) => atomic::run(warp, atomic, run, line, env),
        Op::CopyAsync { bytes, to, from, size } => {
            let copy = copy::Start { bytes: *bytes, to, from, size: *size, line };
            copy::start(warp, &copy, run, env)
        }
        Op::CopyCommit => {
            warp.copies.commit(run);
            Ok(())
        }
        Op::CopyWait(keep) => copy::wait(warp, Some(*keep), run, env),
        Op::CopyWaitAll => copy::wait(warp, None, run, env),
        Op::LoadMatrix { transposed, d, at } => {
            matrix::load(warp, *transposed, d, at, run, line, env)
        }
        Op::Mma { factors, d, a, b, c } => matrix::mma(warp, *factors, [d, a, c], b, run, env),
        Op::Shuffle(shuffle) => warp_wide::shuffle(warp, shuffle, run),
        Op::Vote { .. } | Op::Match { .. } | Op::Redux { .. } => warp_wide::run(warp, op, run),
        Op::ActiveMask { d } => {
            warp.file.set_word(*d, &[run; 32], run, !0);
            Ok(())
        }
        Op::Timer { d } => {
            warp.file.set(*d, &[warp.steps; 32], run, !0);
            Ok(())
        }
        Op::Fence(scope) => {
            memory::full_fence();
            talk::fence(warp, *scope, run, env);
            Ok(())
        }
        Op::Prefetch { at } => early::prefetch(warp, at, run, env),
        Op::WaitForGrids => {
            warp.early &= !run;
            Ok(())
        }
        Op::WarpSync { .. } => {
            warp.syncs += 1;
            if let Some(talk) = &mut env.talk {
                talk.buffer.warp_barrier(warp.index, run);
            }
            Ok(())
        }
        Op::Nop => Ok(()),
        _ => {
            compute::run(&mut warp.file, op, run);
            Ok(())
        }
    }
}

/// A load or store.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    space: Space,
    item: crate::isa::Item,
    order: crate::isa::Order,
    scope: crate::isa::Scope,
    line: u32,
}

impl Access {
    fn by(&self, warp: &Warp, lane: usize) -> Toucher {
        warp.toucher(lane, self.line)
    }
}

/// The address of each lane.
#[inline]
fn addresses(warp: &Warp, at: &Address, run: u32) -> Step<[u64; 32]> {
    need(warp.file.reg_known(at.base), run, "an address")?;
    Ok(match at.base {
        Reg::Word(word) => crate::alu::map1(warp.file.word(word), |base| {
            u64::from(base.wrapping_add(at.offset as u32))
        }),
        Reg::Double(double) => {
            crate::alu::map1(warp.file.double(double), |base| base.wrapping_add(at.offset as u64))
        }
    })
}

/// A loaded value as the register keeps it.
#[inline(always)]
fn extended(value: u64, bytes: u32, signed: bool) -> u64 {
    if !signed {
        return value;
    }
    let unused = 64 - bytes * 8;
    ((value << unused) as i64 >> unused) as u64
}
