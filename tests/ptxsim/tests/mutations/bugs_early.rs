//! Bugs of kernels that begin before those in front of them have ended.

use offramp_ptxsim::FaultKind::{BeforeWait, Stale};

use crate::bug::{Bug, Found};
use crate::text::Change::{self, Delay, Remove, Swap};
use crate::text::{Site, Text};
use crate::world::Elem;
use crate::{BROAD, COMPACT, CONV_FEW, CONV_THIN, CONV_WIDE, EMBED, FEW, NARROW, NORM, POOL};
use crate::{RAMP, SUBJECTS, WIDE};

const WAIT: (&str, &str) = ("griddepcontrol.wait", "");
const TOO_EARLY: Found = Found::By(&[BeforeWait]);

/// No wait, and one behind all that it should hold back.
#[test]
fn every_kernel_waits_before_it_touches_what_kernels_write() {
    for subject in SUBJECTS {
        let wait = |change: Change| Bug::new(WAIT, 1, change, TOO_EARLY);
        subject.finds(&[wait(Remove), wait(Delay)]);
    }
}

/// Weights of the first stages are copied before the wait, and nothing else may be.
#[test]
fn tiles_begin_with_their_weights() {
    for (subject, copies) in [(BROAD, 12), (WIDE, 8), (FEW, 12), (CONV_WIDE, 8), (CONV_FEW, 12)] {
        let text = Text::read(subject.file, Elem::F16, subject.kernel);
        let wait = text.find(Site { op: WAIT.0, from: WAIT.1 })[0];
        let early = text.find(Site { op: "cp.async.cg", from: "" });
        assert_eq!(early.iter().filter(|&&line| line < wait).count(), copies, "{}", subject.kernel);
    }
    // The address of x in the place of the weight's.
    let of_weight = "ld.param.u64*_param_2];";
    for subject in [BROAD, WIDE, FEW, CONV_WIDE, CONV_FEW, CONV_THIN] {
        let of_x = Swap("_param_2]", "_param_0]");
        subject.finds(&[Bug::new((of_weight, ""), 1, of_x, TOO_EARLY)]);
    }
}

/// What is alive, read as if nobody wrote it.
#[test]
fn loads_of_what_kernels_write_see_it() {
    for subject in [NORM, EMBED, COMPACT, NARROW, POOL, RAMP] {
        let constant = Swap("ld.global.", "ld.global.nc.");
        let stale = Found::By(&[Stale]);
        subject.finds(&[Bug::new(("ld.global.u32", "live->"), 1, constant, stale)]);
    }
}
