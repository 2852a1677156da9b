//! Bugs in the kernels that take rows or tokens one by one.

use offramp_ptxsim::FaultKind::{GlobalRace, OutOfBounds};

use crate::bug::{Bug, Found, SOME};
use crate::text::Change::{Remove, Swap};
use crate::text::Site;
use crate::{COMPACT, EMBED, NARROW, NORM, RAMP};

const BARRIER: Site = Site { op: "bar.sync", from: "" };

#[test]
fn every_barrier_counts() {
    assert_eq!(COMPACT.survivors(BARRIER, Remove), [""; 0]);
    assert_eq!(RAMP.survivors(BARRIER, Remove), [""; 0]);
}

/// All blocks do the work of the first.
const ONE_BLOCK: Found = Found::By(&[GlobalRace]);

#[test]
fn norm_and_embed() {
    for (subject, live) in [(NORM, "token >= live->tokens"), (EMBED, "t >= live->tokens")] {
        subject.finds(&[
            Bug::new(("bra", live), 1, Remove, Found::By(&[OutOfBounds])),
            Bug::new(("setp.ge.u32", live), 1, Swap(".ge", ".gt"), Found::By(&[OutOfBounds])),
            Bug::new(("mov.u32*, 16;", "__shfl_xor"), SOME, Swap("16;", "8;"), Found::Wrong),
            Bug::new(("mov.u32*%ctaid.x;", ""), 1, Swap("%ctaid.x", "%ctaid.y"), ONE_BLOCK),
            Bug::new(("rsqrt.approx", ""), SOME, Swap("rsqrt.approx", "sqrt.approx"), Found::Wrong),
            Bug::new(("st.global.v4", ""), SOME, Remove, Found::Wrong),
            Bug::new(
                ("setp.lt.u32", "at < form.width; at +="),
                SOME,
                Swap(".lt", ".le"),
                Found::Somehow,
            ),
        ]);
    }
}

#[test]
fn ramp() {
    RAMP.finds(&[
        Bug::new(("bra", "position >= live->rows"), 1, Remove, Found::By(&[OutOfBounds])),
        Bug::new(("setp.ge.u32", "position >="), 1, Swap(".ge", ".gt"), Found::By(&[OutOfBounds])),
        Bug::new(("mov.u32*, 16;", "__shfl_xor"), SOME, Swap("16;", "8;"), Found::Somehow),
        Bug::new(("vote.sync.all", ""), 1, Swap(".all", ".any"), Found::Wrong),
        Bug::new(("st.release.sys", ""), 1, Remove, Found::Wrong),
        Bug::new(("setp.le.u32", "exit >= row.state.first"), 1, Swap(".le", ".lt"), Found::Wrong),
        Bug::new(("st.global.f32", "logits["), 1, Remove, Found::Wrong),
    ]);
}

/// The host looks on while the ramp runs: the number of the pass is released behind all else.
#[test]
fn the_record_of_a_ramp_is_whole() {
    let release = |change| Bug::new(("st.release.sys", ""), 1, change, Found::Wrong);
    RAMP.finds(&[
        release(Swap("release.sys.", "")),
        release(Swap("release.sys", "relaxed.sys")),
        release(Swap("release.sys", "release.gpu")),
    ]);
}

#[test]
fn maps() {
    COMPACT.finds(&[
        Bug::new(("setp.ge.u32", "row < rows"), 1, Swap(".ge", ".gt"), Found::By(&[OutOfBounds])),
        Bug::new(("setp.le.u32", "chunk.to[middle]"), SOME, Swap(".le", ".lt"), Found::Wrong),
        Bug::new(("shfl.sync.up", ""), SOME, Swap(".up", ".down"), Found::Somehow),
        Bug::new(("vote.sync.ballot", ""), 1, Remove, Found::Somehow),
        Bug::new(("ld.global.u32*+4];", "states[slot]"), 1, Remove, Found::Somehow),
        Bug::new(("bra", "threadIdx.x == 0"), 1, Remove, ALIKE),
        Bug::new(("setp.ne.s32", "below(chunk"), 1, Swap(".ne", ".eq"), Found::Somehow),
    ]);
    NARROW.finds(&[
        Bug::new(("setp.gt.u32", "row > rows"), 1, Swap(".gt", ".ge"), Found::Wrong),
        Bug::new(("bra", "row > rows"), 1, Remove, Found::By(&[OutOfBounds])),
        Bug::new(("bra", "row == rows"), 1, Remove, Found::By(&[OutOfBounds])),
        Bug::new(("st.global.u32", "slots_out[row]"), 1, Remove, Found::Wrong),
        Bug::new(("ld.global.u32", "return map"), SOME, Swap("];", "+4];"), Found::Somehow),
    ]);
}

/// Many stores of one value are no bug, just slow.
const ALIKE: Found = Found::Not("all threads store the same numbers");
