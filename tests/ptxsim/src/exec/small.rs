//! Parameters and local memory.

use super::{Access, Env, extended};
use crate::FaultKind;
use crate::counts::lanes;
use crate::fault::{Problem, Step};
use crate::isa::{Regs, Space};
use crate::warp::{Warp, need};

/// Offset of `address` in `len` bytes, or a problem.
fn check(space: Space, address: u64, bytes: u32, len: usize, lane: usize) -> Step<usize> {
    let name = space.name();
    if address.saturating_add(bytes.into()) > len as u64 {
        let found = format!("expected {len} bytes of {name} memory, found {bytes} at {address:#x}");
        return Err(Problem::new(FaultKind::OutOfBounds, lane as u32, found));
    }
    if !address.is_multiple_of(bytes.into()) {
        let found = format!("expected a multiple of {bytes}, found {name} address {address:#x}");
        return Err(Problem::new(FaultKind::Misaligned, lane as u32, found));
    }
    Ok(address as usize)
}

fn little_endian(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.enumerate().fold(0, |sum, (i, byte)| sum | u64::from(byte) << (8 * i))
}

pub(super) fn load_param(
    warp: &mut Warp,
    access: Access,
    d: &Regs,
    addresses: &[u64; 32],
    run: u32,
    env: &mut Env<'_>,
) -> Step {
    let item = access.item;
    let total = item.bytes * d.as_slice().len() as u32;
    for (i, reg) in d.as_slice().iter().enumerate() {
        let mut values = [0; 32];
        for lane in lanes(run) {
            let at = check(Space::Param, addresses[lane], total, env.params.len(), lane)?;
            let first = at + i * item.bytes as usize;
            let bytes = env.params[first..first + item.bytes as usize].iter().copied();
            values[lane] = extended(little_endian(bytes), item.bytes, item.signed);
        }
        warp.file.set(*reg, &values, run, !0);
    }
    Ok(())
}

pub(super) fn load_local(
    warp: &mut Warp,
    access: Access,
    d: &Regs,
    addresses: &[u64; 32],
    run: u32,
) -> Step {
    let item = access.item;
    let room = warp.local.len() / 32;
    let total = item.bytes * d.as_slice().len() as u32;
    for (i, reg) in d.as_slice().iter().enumerate() {
        let (mut values, mut known) = ([0; 32], 0);
        for lane in lanes(run) {
            let at = check(Space::Local, addresses[lane], total, room, lane)?;
            let first = lane * room + at + i * item.bytes as usize;
            let bytes = &warp.local[first..first + item.bytes as usize];
            known |= u32::from(bytes.iter().all(|byte| byte.1)) << lane;
            let value = little_endian(bytes.iter().map(|byte| byte.0));
            values[lane] = extended(value, item.bytes, item.signed);
        }
        need(known, run, "a load of local memory")?;
        warp.file.set(*reg, &values, run, known);
    }
    Ok(())
}

pub(super) fn store_local(
    warp: &mut Warp,
    access: Access,
    s: &Regs,
    addresses: &[u64; 32],
    run: u32,
) -> Step {
    let item = access.item;
    let room = warp.local.len() / 32;
    let total = item.bytes * s.as_slice().len() as u32;
    for (i, reg) in s.as_slice().iter().enumerate() {
        // What is unknown stays so: spilled registers are no use of a value.
        let known = warp.file.reg_known(*reg);
        for lane in lanes(run) {
            let at = check(Space::Local, addresses[lane], total, room, lane)?;
            let first = lane * room + at + i * item.bytes as usize;
            let bytes = warp.file.get(*reg, lane).to_le_bytes();
            for (to, byte) in warp.local[first..].iter_mut().zip(&bytes[..item.bytes as usize]) {
                *to = (*byte, known >> lane & 1 != 0);
            }
        }
    }
    Ok(())
}
