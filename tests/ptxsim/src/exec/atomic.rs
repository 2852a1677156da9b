//! Atomics: lanes one after the other.

use super::generic::split;
use super::{Env, addresses, early, global, shared, talk};
use crate::alu::int;
use crate::counts::lanes;
use crate::fault::Step;
use crate::isa::{Atomic, AtomicFn, IntFn, LongFn, Space, Type};
use crate::warp::{Warp, need};

pub(super) fn run(
    warp: &mut Warp,
    atomic: &Atomic,
    run: u32,
    line: u32,
    env: &mut Env<'_>,
) -> Step {
    let all = addresses(warp, &atomic.at, run)?;
    need(warp.file.reg_known(atomic.a), run, "an operand of an atomic")?;
    need(warp.file.reg_known(atomic.b), run, "an operand of an atomic")?;
    env.counts.atomics += 1;
    let mut old = [0; 32];
    if atomic.space == Space::Generic {
        for (space, run, addresses) in split(&all, run) {
            one_space(warp, (atomic, space, line), &addresses, run, &mut old, env)?;
        }
    } else {
        one_space(warp, (atomic, atomic.space, line), &all, run, &mut old, env)?;
    }
    if let Some(d) = atomic.d {
        warp.file.set(d, &old, run, !0);
    }
    Ok(())
}

fn one_space(
    warp: &Warp,
    (atomic, space, line): (&Atomic, Space, u32),
    addresses: &[u64; 32],
    run: u32,
    old: &mut [u64; 32],
    env: &mut Env<'_>,
) -> Step {
    let bytes = atomic.ty.bytes();
    let (order, scope) = (atomic.order, atomic.scope);
    if space != Space::Shared {
        talk::release(warp, order, scope, run, env);
    }
    for lane in lanes(run) {
        let (address, a, b) =
            (addresses[lane], warp.file.get(atomic.a, lane), warp.file.get(atomic.b, lane));
        let f = |old| function(atomic.f, atomic.ty, old, a, b);
        old[lane] = if space == Space::Shared {
            env.shared.check(address, bytes, lane)?;
            let by = warp.toucher(lane, line);
            env.shared.note_atomic(address as u32, bytes, by)?;
            let old = env.shared.load(address as u32, bytes);
            env.shared.store(address as u32, bytes, f(old));
            old
        } else {
            let block = global::check(env, address, bytes, bytes, lane)?;
            early::check_store((warp, lane), address)?;
            talk::settle(address, bytes, block, env);
            global::check_written(block, address, bytes, lane)?;
            let old = block.update(address - block.base(), bytes, f);
            talk::has_read((warp, 1 << lane), order, scope, addresses, env);
            talk::has_written((warp, lane), order, scope, address, true, env);
            old
        };
    }
    if space == Space::Shared {
        shared::count(env, addresses, run, bytes);
    } else {
        if atomic.d.is_some() {
            global::count_load(env, addresses, run, bytes);
        }
        global::count_store(env, addresses, run, bytes);
    }
    Ok(())
}

/// What an atomic leaves behind.
fn function(f: AtomicFn, ty: Type, old: u64, a: u64, b: u64) -> u64 {
    match f {
        AtomicFn::Exchange => a,
        AtomicFn::CompareSwap => {
            if old == a {
                b
            } else {
                old
            }
        }
        AtomicFn::Inc => {
            if old >= a {
                0
            } else {
                old + 1
            }
        }
        AtomicFn::Dec => {
            if old == 0 || old > a {
                a
            } else {
                old - 1
            }
        }
        AtomicFn::FloatAdd if ty == Type::F64 => {
            (f64::from_bits(old) + f64::from_bits(a)).to_bits()
        }
        AtomicFn::FloatAdd => {
            let sum = f32::from_bits(old as u32) + f32::from_bits(a as u32);
            u64::from(sum.to_bits())
        }
        AtomicFn::Int(f) if ty.bits() == 64 => {
            int::doubles(long(f), [&[old; 32], &[a; 32], &[0; 32]])[0]
        }
        AtomicFn::Int(f) => {
            u64::from(int::words(f, [&[old as u32; 32], &[a as u32; 32], &[0; 32]])[0])
        }
    }
}

fn long(f: IntFn) -> LongFn {
    match f {
        IntFn::MinU => LongFn::MinU,
        IntFn::MinS => LongFn::MinS,
        IntFn::MaxU => LongFn::MaxU,
        IntFn::MaxS => LongFn::MaxS,
        IntFn::And => LongFn::And,
        IntFn::Or => LongFn::Or,
        IntFn::Xor => LongFn::Xor,
        _ => LongFn::Add,
    }
}
