//! Shared memory.

use super::{Access, Env, extended};
use crate::counts::{lanes, wavefronts};
use crate::fault::Step;
use crate::isa::Regs;
use crate::warp::{Warp, need};

pub(super) fn load(
    warp: &mut Warp,
    access: Access,
    d: &Regs,
    addresses: &[u64; 32],
    run: u32,
    env: &mut Env<'_>,
) -> Step {
    let (regs, item) = (d.as_slice(), access.item);
    let bytes = item.bytes * regs.len() as u32;
    let relaxed = !access.order.is_weak();
    let mut values = [[0u64; 32]; 4];
    for lane in lanes(run) {
        env.shared.check(addresses[lane], bytes, lane)?;
        let at = addresses[lane] as u32;
        env.shared.note_read(at, bytes, access.by(warp, lane), relaxed)?;
        for (i, values) in values.iter_mut().enumerate().take(regs.len()) {
            let value = env.shared.load(at + i as u32 * item.bytes, item.bytes);
            values[lane] = extended(value, item.bytes, item.signed);
        }
    }
    for (reg, values) in regs.iter().zip(&values) {
        warp.file.set(*reg, values, run, !0);
    }
    count(env, addresses, run, bytes);
    Ok(())
}

pub(super) fn store(
    warp: &mut Warp,
    access: Access,
    s: &Regs,
    addresses: &[u64; 32],
    run: u32,
    env: &mut Env<'_>,
) -> Step {
    let (regs, item) = (s.as_slice(), access.item);
    let bytes = item.bytes * regs.len() as u32;
    let relaxed = !access.order.is_weak();
    for reg in regs {
        need(warp.file.reg_known(*reg), run, "a stored value")?;
    }
    super::global::check_agreement(warp, s, addresses, run, item.bytes)?;
    for lane in lanes(run) {
        env.shared.check(addresses[lane], bytes, lane)?;
        let at = addresses[lane] as u32;
        env.shared.note_write(at, bytes, access.by(warp, lane), relaxed)?;
        for (i, reg) in regs.iter().enumerate() {
            let value = warp.file.get(*reg, lane);
            env.shared.store(at + i as u32 * item.bytes, item.bytes, value);
        }
    }
    count(env, addresses, run, bytes);
    Ok(())
}

/// Counts the wavefronts of a request.
pub(super) fn count(env: &mut Env<'_>, addresses: &[u64; 32], run: u32, bytes: u32) {
    let (total, phases) = wavefronts(addresses, run, bytes);
    env.counts.shared_accesses += total;
    env.counts.shared_bank_conflicts += total - phases;
}
