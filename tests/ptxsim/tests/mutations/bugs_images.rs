//! Bugs in the kernels for images.

use offramp_ptxsim::FaultKind::AsyncPending;

use crate::bug::{Bug, Found, SOME};
use crate::text::Change::{Remove, Swap};
use crate::text::Site;
use crate::{CONV_ANY, CONV_FEW, CONV_THIN, CONV_WIDE, PIXELS, POOL, RAMP};

const BARRIER: Site = Site { op: "bar.sync", from: "" };

#[test]
fn every_barrier_counts() {
    for subject in [CONV_WIDE, CONV_FEW, CONV_ANY] {
        let missed = subject.survivors(BARRIER, Remove);
        assert!(missed.is_empty(), "{}: {missed:?}", subject.kernel);
    }
    // Before its epilogue: a warp of a thin tile puts its sums where it alone has read.
    assert_eq!(CONV_THIN.survivors(BARRIER, Remove).len(), 1);
}

#[test]
fn convolutions() {
    let late = Found::By(&[AsyncPending]);
    let mask = "mask >> (16 + ky)";
    for subject in [CONV_WIDE, CONV_FEW, CONV_THIN] {
        subject.finds(&[
            Bug::new(("cp.async.wait_group", ""), 1, Remove, late),
            Bug::new(("cp.async.commit_group", ""), SOME, Remove, late),
            Bug::new(("and.b32*, 16;", mask), SOME, Swap("and.b32", "or.b32"), Found::Somehow),
            Bug::new(("shr.u32", mask), SOME, Swap("shr.u32", "shl.b32"), Found::Somehow),
            Bug::new(("neg.s32", "begin = min"), SOME, Swap("neg", "abs"), Found::Wrong),
            Bug::new(("setp.eq", "++kx =="), SOME, Swap(".eq", ".ne"), Found::Somehow),
            Bug::new(("setp.lt.u32", "K_STEP < p.k"), SOME, Swap(".lt", ".le"), Found::Somehow),
            Bug::new(("bra ", "!find_tokens(p)"), 1, Remove, Found::Somehow),
            Bug::new(
                ("mad.lo.s32", "place(p.x_map"),
                SOME,
                Swap("mad.lo", "mad.hi"),
                Found::Somehow,
            ),
            Bug::new(("ldmatrix*;", ""), SOME, Swap(".x4.", ".x4.trans."), Found::Wrong),
            Bug::new(("st.global.v4", ""), SOME, Remove, Found::Wrong),
        ]);
    }
}

#[test]
fn gathered() {
    CONV_ANY.finds(&[
        Bug::new(("st.shared.v4", ""), SOME, Remove, Found::Somehow),
        Bug::new(("{ .reg .pred", ""), SOME, Swap("setp.ne", "setp.eq"), Found::Somehow),
        Bug::new(("{ .reg .pred", ""), SOME, Swap("@%p ld", "ld"), Found::Somehow),
        Bug::new(("max.s32", "first = max"), SOME, Swap("max", "min"), Found::Somehow),
        Bug::new(("min.s32", "end = min"), SOME, Swap("min", "max"), Found::Somehow),
        Bug::new(("setp.eq", "line += in_run"), SOME, Swap(".eq", ".ne"), Found::Somehow),
        Bug::new(("min.u32", "columns = output"), SOME, Swap("min", "max"), Found::Somehow),
        Bug::new(("bra ", "!find_tokens(p)"), 1, Remove, Found::Somehow),
    ]);
}

#[test]
fn one_by_one() {
    PIXELS.finds(&[
        Bug::new(("setp.gt.u64", "first + WIDE <= end"), 1, Swap(".gt", ".lt"), Found::Somehow),
        Bug::new(("fma.rn.f32", ""), SOME, Swap("fma.rn.f32", "fma.rz.f32"), ROUNDED),
        Bug::new(("setp.eq", "channel + 1 == channels"), SOME, Swap(".eq", ".ne"), Found::Somehow),
        Bug::new(("st.global", ""), SOME, Remove, Found::Wrong),
    ]);
    POOL.finds(&[
        Bug::new(("bra", "row >= live->rows"), 1, Remove, Found::Somehow),
        Bug::new(("ld.global.u32", "return map"), SOME, Remove, Found::Somehow),
        Bug::new(("div.rn.f32", "sums[i] /="), SOME, Swap("div.rn", "mul.rn"), Found::Wrong),
        Bug::new(("min.u32", "start - min"), SOME, Swap("min", "max"), Found::Somehow),
        Bug::new(("setp.gt", "more > so_far"), SOME, Swap(".gt", ".lt"), Found::Wrong),
    ]);
    RAMP.finds(&[Bug::new(("bra", "if (row_vectors)"), 1, Remove, Found::Somehow)]);
}

/// The result is rounded to 16 bits in any case.
const ROUNDED: Found = Found::Not("a last bit of f32 is lost in 16 bits");
