//! Global memory.

use super::{Access, Env, early, extended, talk};
use crate::FaultKind;
use crate::counts::{lanes, sectors};
use crate::fault::{Problem, Step};
use crate::isa::Regs;
use crate::memory::Block;
use crate::race::Writer;
use crate::warp::{Warp, need};

/// The block that holds `bytes` at `address`, which must be a multiple of `align`.
#[inline]
pub(super) fn check<'a>(
    env: &mut Env<'a>,
    address: u64,
    bytes: u32,
    align: u32,
    lane: usize,
) -> Step<&'a Block> {
    let view = env.view;
    match view.block(address, &mut env.hint) {
        Some(block) if block.holds(address, bytes.into()) => {
            if address.is_multiple_of(align.into()) {
                return Ok(block);
            }
            let found = format!("expected a multiple of {align}, found address {address:#x}");
            Err(Problem::new(FaultKind::Misaligned, lane as u32, found))
        }
        _ => {
            let near = view.nearest(address);
            let found =
                format!("expected a block with {bytes} bytes at {address:#x}, found {near}");
            Err(Problem::new(FaultKind::OutOfBounds, lane as u32, found))
        }
    }
}

/// Fails where `bytes` at `address` hold nothing yet.
#[inline]
pub(super) fn check_written(block: &Block, address: u64, bytes: u32, lane: usize) -> Step {
    let offset = address - block.base();
    if block.is_written(offset, bytes) {
        return Ok(());
    }
    let found = format!(
        "read of {bytes} bytes at {address:#x} (byte {offset} of its block), which nothing was \
         written to"
    );
    Err(Problem::new(FaultKind::UninitialisedMemory, lane as u32, found))
}

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
    let mut values = [[0u64; 32]; 4];
    for lane in lanes(run) {
        let address = addresses[lane];
        let block = check(env, address, bytes, bytes, lane)?;
        early::check_load((warp, lane), block, address, bytes)?;
        early::check_constant((access.order, lane), block, address, bytes, env)?;
        if let Some(seen) = talk::seen(warp, lane, address, access.order, env) {
            talk::check_seen(&seen, address, bytes, lane)?;
            for (i, values) in values.iter_mut().enumerate().take(regs.len()) {
                let value = seen.value(address + i as u64 * u64::from(item.bytes), item.bytes);
                values[lane] = extended(value, item.bytes, item.signed);
            }
            continue;
        }
        check_written(block, address, bytes, lane)?;
        let offset = address - block.base();
        for (i, values) in values.iter_mut().enumerate().take(regs.len()) {
            let value = block.load(offset + i as u64 * u64::from(item.bytes), item.bytes);
            values[lane] = extended(value, item.bytes, item.signed);
        }
    }
    for (reg, values) in regs.iter().zip(&values) {
        warp.file.set(*reg, values, run, !0);
    }
    talk::has_read((warp, run), access.order, access.scope, addresses, env);
    count_load(env, addresses, run, bytes);
    Ok(())
}

pub(super) fn count_load(env: &mut Env<'_>, addresses: &[u64; 32], run: u32, bytes: u32) {
    env.counts.global_loads += 1;
    env.counts.global_load_sectors += sectors(addresses, run);
    env.counts.global_load_bytes += u64::from(bytes * run.count_ones());
}

pub(super) fn count_store(env: &mut Env<'_>, addresses: &[u64; 32], run: u32, bytes: u32) {
    env.counts.global_stores += 1;
    env.counts.global_store_sectors += sectors(addresses, run);
    env.counts.global_store_bytes += u64::from(bytes * run.count_ones());
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
    for reg in regs {
        need(warp.file.reg_known(*reg), run, "a stored value")?;
    }
    check_agreement(warp, s, addresses, run, item.bytes)?;
    let writer = Writer { block: env.block, line: access.line };
    talk::release(warp, access.order, access.scope, run, env);
    for lane in lanes(run) {
        let address = addresses[lane];
        let block = check(env, address, bytes, bytes, lane)?;
        early::check_store((warp, lane), address)?;
        let values = regs.iter().map(|&reg| warp.file.get(reg, lane));
        if talk::keep((warp, lane), access, address, values, env) {
            continue;
        }
        talk::settle(address, bytes, block, env);
        let offset = address - block.base();
        for (i, reg) in regs.iter().enumerate() {
            let value = warp.file.get(*reg, lane);
            block.store(offset + i as u64 * u64::from(item.bytes), item.bytes, value);
        }
        talk::has_written((warp, lane), access.order, access.scope, address, false, env);
        env.view.note_write(env.hint, address, bytes, writer);
    }
    count_store(env, addresses, run, bytes);
    Ok(())
}

/// Fails where two lanes write different values to one address.
pub(super) fn check_agreement(
    warp: &Warp,
    s: &Regs,
    addresses: &[u64; 32],
    run: u32,
    item_bytes: u32,
) -> Step {
    let mut last = None;
    let ascending = lanes(run).all(|lane| {
        let above = last.is_none_or(|last| addresses[lane] > last);
        last = Some(addresses[lane]);
        above
    });
    if ascending {
        return Ok(());
    }
    let low = u64::MAX >> (64 - item_bytes * 8);
    let mut order: Vec<usize> = lanes(run).collect();
    order.sort_by_key(|&lane| addresses[lane]);
    for pair in order.windows(2) {
        let value =
            |lane: usize| s.as_slice().iter().map(move |&reg| warp.file.get(reg, lane) & low);
        let clash = addresses[pair[0]] == addresses[pair[1]] && value(pair[0]).ne(value(pair[1]));
        if clash {
            let found = format!(
                "lanes {} and {} write different values to {:#x}",
                pair[0], pair[1], addresses[pair[0]]
            );
            return Err(Problem::new(FaultKind::ConflictingStores, pair[1] as u32, found));
        }
    }
    Ok(())
}
