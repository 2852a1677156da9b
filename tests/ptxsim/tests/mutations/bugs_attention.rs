//! Bugs in the attention kernels.

use offramp_ptxsim::FaultKind::{AsyncPending, OutOfBounds, UninitialisedRegister};

use crate::bug::{Bug, Found, SOME};
use crate::text::Change::{Remove, Swap};
use crate::text::Site;
use crate::{ATTENTION_32, ATTENTION_64, ATTENTION_128, ATTENTION_ANY};

#[test]
fn every_barrier_counts() {
    let site = Site { op: "bar.sync", from: "" };
    for subject in [ATTENTION_32, ATTENTION_64, ATTENTION_128] {
        let missed = subject.survivors(site, Remove);
        assert!(missed.is_empty(), "{}: {missed:?}", subject.kernel);
    }
}

/// The first `__syncwarp` of `finish` follows reads by `ldmatrix`, which all lanes do together.
#[test]
fn lanes_of_a_warp_wait_for_one_another() {
    let site = Site { op: "bar.warp.sync", from: "" };
    for subject in [ATTENTION_32, ATTENTION_64, ATTENTION_128] {
        assert_eq!(subject.survivors(site, Remove).len(), 1, "{}", subject.kernel);
    }
}

#[test]
fn tensor_cores() {
    let late = Found::By(&[AsyncPending]);
    for subject in [ATTENTION_32, ATTENTION_64, ATTENTION_128] {
        subject.finds(&[
            Bug::new(
                ("ldmatrix.sync.aligned.m8n8.x4.trans", ""),
                SOME,
                Swap(".trans", ""),
                Found::Wrong,
            ),
            Bug::new(("cp.async.wait_group 0", ""), 1, Remove, late),
            Bug::new(("cp.async.wait_group 0", ""), 1, Swap("_group 0", "_group 1"), late),
            Bug::new(("setp.ge.u32", "blockIdx.z < live->rows"), 1, Swap(".ge", ".gt"), PAST_ROWS),
        ]);
    }
}

const PAST_ROWS: Found = Found::By(&[OutOfBounds]);

#[test]
fn softmax() {
    ATTENTION_32.finds(&[
        Bug::new(("mul.f32", "sum[r] *= factor"), SOME, Swap("mul.f32", "add.f32"), Found::Wrong),
        Bug::new(("mul.f32", "mixed[j][2 * r] *="), SOME, Swap("mul.f32", "add.f32"), Found::Wrong),
        Bug::new(("selp.f32*;", ">= keys"), SOME, Swap("0fFF800000", "0f00000000"), Found::Wrong),
        Bug::new(("mov.u32*, 1;", "sum[r] += __shfl"), 1, Swap("1;", "2;"), Found::Wrong),
        Bug::new(
            ("rcp.rn.f32", "1.0f / sum[r]"),
            SOME,
            Swap("rcp.rn.f32", "neg.f32"),
            Found::Wrong,
        ),
        Bug::new(
            ("and.b32*, 16;", "live ? CHUNK"),
            SOME,
            Swap("and.b32", "or.b32"),
            Found::Somehow,
        ),
    ]);
}

#[test]
fn any() {
    ATTENTION_ANY.finds(&[
        Bug::new(("bra", "token >= head.tokens"), 1, Remove, Found::Somehow),
        Bug::new(("setp.lt.u32", "t < head.tokens"), SOME, Swap(".lt", ".le"), PAST_ROWS),
        Bug::new(("setp.ge.u32", "q[i] = lane"), SOME, Swap(".ge", ".gt"), Found::Somehow),
        Bug::new(("st.global.u16", ""), SOME, Remove, Found::Wrong),
        Bug::new(("mov.u32*, 16;", "__shfl_xor"), SOME, Swap("16;", "8;"), Found::Wrong),
        Bug::new(
            ("ld.global.u32", "return map"),
            SOME,
            Remove,
            Found::By(&[UninitialisedRegister]),
        ),
    ]);
}
