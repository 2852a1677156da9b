//! Bugs in the products.

use offramp_ptxsim::FaultKind::{
    AsyncPending, OutOfBounds, UninitialisedMemory, UninitialisedRegister,
};

use crate::bug::{Bug, Found, SOME};
use crate::text::Change::{Remove, Swap};
use crate::text::Site;
use crate::{ANY, BROAD, FEW, WIDE};

const BARRIER: Site = Site { op: "bar.sync", from: "" };
const COPY: &str = "\"r\"(live ? CHUNK_BYTES : 0)";
const MORE_TOKENS: Found = Found::By(&[OutOfBounds]);

#[test]
fn every_barrier_counts() {
    for subject in [BROAD, WIDE, FEW, ANY] {
        let missed = subject.survivors(BARRIER, Remove);
        assert!(missed.is_empty(), "{}: {missed:?}", subject.kernel);
    }
}

#[test]
fn wide() {
    let late = Found::By(&[AsyncPending]);
    WIDE.finds(&[
        Bug::new(("cp.async.wait_group 1", ""), 1, Remove, late),
        Bug::new(("cp.async.wait_group 1", ""), 1, Swap("_group 1", "_group 2"), late),
        Bug::new(("cp.async.commit_group", ""), SOME, Remove, late),
        Bug::new(("and.b32*, 16;", COPY), SOME, Swap("and.b32", "or.b32"), MORE_TOKENS),
        Bug::new(("setp.gt.u32", "token0 < tokens"), 1, Swap(".gt", ".lt"), Found::Somehow),
        Bug::new(("bra ", "!find_tokens(p)"), 1, Remove, Found::Somehow),
        Bug::new(("ldmatrix*;", ""), SOME, Swap(".x4.", ".x4.trans."), Found::Wrong),
        Bug::new(("mul.f32*0f3F3504F3;", "erff"), SOME, Swap("3F3504F3", "3F3604F3"), Found::Wrong),
        Bug::new(("{  cvt.rn.f16.f32", ""), SOME, Swap("cvt.rn", "cvt.rz"), Found::Wrong),
    ]);
}

/// The norms that products take over.
#[test]
fn norms() {
    for subject in [BROAD, WIDE, FEW] {
        subject.finds(&[
            Bug::new(("rsqrt.approx", ""), SOME, Swap("rsqrt.approx", "sqrt.approx"), Found::Wrong),
            Bug::new(("st.global.v2.f32", "p.out_moments["), SOME, Remove, Found::Somehow),
        ]);
    }
}

#[test]
fn few() {
    let late = Found::By(&[AsyncPending]);
    FEW.finds(&[
        Bug::new(("cp.async.wait_group 2", ""), 1, Remove, late),
        Bug::new(("cp.async.wait_group 2", ""), 1, Swap("_group 2", "_group 3"), late),
        Bug::new(("bra ", "!find_tokens(p)"), 1, Remove, Found::Somehow),
        Bug::new(("atom.add.acq_rel.gpu", ""), 1, Swap(", 1;", ", 0;"), Found::Wrong),
        Bug::new(
            ("atom.add.acq_rel.gpu", ""),
            1,
            Swap("add.acq_rel.gpu.global.u32", "exch.acq_rel.gpu.global.b32"),
            Found::Wrong,
        ),
        Bug::new(("st.global.u32", "*count = 0"), 1, Remove, Found::Wrong),
        Bug::new(("st.shared.u32", "*last ="), 1, Remove, Found::Somehow),
        Bug::new(
            ("st.global.v4.f32", "mine[share"),
            SOME,
            Remove,
            Found::By(&[UninitialisedMemory]),
        ),
        Bug::new(("add.s64*, 4096;", "__ldcg"), SOME, Swap("4096", "6144"), Found::Wrong),
        Bug::new(("min.u32", "k_end = min"), 1, Swap("min", "max"), Found::Somehow),
        Bug::new(("selp.u32", "*last ="), 1, Swap("1, 0", "0, 1"), Found::Somehow),
    ]);
}

/// Whatever lets the last block of a tile see the shares of the others.
#[test]
fn every_word_between_blocks_counts() {
    let atomic = |change| {
        let unseen = Found::By(&[UninitialisedMemory]);
        Bug::new(("atom.", ""), 1, change, unseen)
    };
    FEW.finds(&[
        atomic(Swap("acq_rel.gpu", "relaxed.gpu")),
        atomic(Swap("acq_rel.gpu", "acquire.gpu")),
        atomic(Swap("acq_rel.gpu", "release.gpu")),
        atomic(Swap("acq_rel.gpu", "acq_rel.cta")),
    ]);
}

#[test]
fn any() {
    ANY.finds(&[
        Bug::new(("bra", "token0 >= tokens"), 1, Remove, ASKED_AGAIN),
        Bug::new(("setp.ge.u32", "token >= tokens"), SOME, Swap(".ge", ".gt"), Found::Somehow),
        Bug::new(("st.shared.f32", ""), SOME, Remove, Found::By(&[UninitialisedMemory])),
        Bug::new(("ld.global.f32", ""), 1, Remove, Found::By(&[UninitialisedRegister])),
        Bug::new(("st.global.u16", ""), 1, Remove, Found::Wrong),
        Bug::new(
            ("ld.global.u32", "return map"),
            SOME,
            Remove,
            Found::By(&[UninitialisedRegister]),
        ),
    ]);
}

/// Tiles without tokens cost time alone.
const ASKED_AGAIN: Found = Found::Not("every load and store asks for its token once more");
