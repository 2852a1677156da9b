//! Loads and stores by state space; generic addresses go to the space they lie in.

use super::moves::{LOCAL_WINDOW, SHARED_WINDOW};
use super::{Access, Env, addresses, global, shared, small};
use crate::fault::Step;
use crate::isa::{Address, Regs, Space};
use crate::warp::Warp;

pub(super) fn load(
    warp: &mut Warp,
    access: Access,
    d: &Regs,
    at: &Address,
    run: u32,
    env: &mut Env<'_>,
) -> Step {
    let addresses = addresses(warp, at, run)?;
    match access.space {
        Space::Global => global::load(warp, access, d, &addresses, run, env),
        Space::Shared => shared::load(warp, access, d, &addresses, run, env),
        Space::Param => small::load_param(warp, access, d, &addresses, run, env),
        Space::Local => small::load_local(warp, access, d, &addresses, run),
        Space::Generic => {
            for (space, run, addresses) in split(&addresses, run) {
                let access = Access { space, ..access };
                match space {
                    Space::Shared => shared::load(warp, access, d, &addresses, run, env)?,
                    Space::Local => small::load_local(warp, access, d, &addresses, run)?,
                    _ => global::load(warp, access, d, &addresses, run, env)?,
                }
            }
            Ok(())
        }
    }
}

pub(super) fn store(
    warp: &mut Warp,
    access: Access,
    s: &Regs,
    at: &Address,
    run: u32,
    env: &mut Env<'_>,
) -> Step {
    let addresses = addresses(warp, at, run)?;
    match access.space {
        Space::Shared => shared::store(warp, access, s, &addresses, run, env),
        Space::Local => small::store_local(warp, access, s, &addresses, run),
        Space::Generic => {
            for (space, run, addresses) in split(&addresses, run) {
                let access = Access { space, ..access };
                match space {
                    Space::Shared => shared::store(warp, access, s, &addresses, run, env)?,
                    Space::Local => small::store_local(warp, access, s, &addresses, run)?,
                    _ => global::store(warp, access, s, &addresses, run, env)?,
                }
            }
            Ok(())
        }
        _ => global::store(warp, access, s, &addresses, run, env),
    }
}

/// The lanes of each space, with addresses within it.
pub(super) fn split(
    addresses: &[u64; 32],
    run: u32,
) -> impl Iterator<Item = (Space, u32, [u64; 32])> {
    let of = |address: u64| match address {
        SHARED_WINDOW..LOCAL_WINDOW => Space::Shared,
        LOCAL_WINDOW.. if address < 3 << 60 => Space::Local,
        _ => Space::Global,
    };
    let all = *addresses;
    [(Space::Global, 0), (Space::Shared, SHARED_WINDOW), (Space::Local, LOCAL_WINDOW)]
        .into_iter()
        .map(move |(space, window)| {
            let here = |lane: usize| u32::from(of(all[lane]) == space) << lane;
            let mask = (0..32).fold(0, |mask, lane| mask | here(lane)) & run;
            (space, mask, all.map(|address| address.wrapping_sub(window)))
        })
        .filter(|part| part.1 != 0)
}
