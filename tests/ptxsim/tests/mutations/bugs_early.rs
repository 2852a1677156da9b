//! Bugs of kernels that begin before those in front of them have ended.

use offramp_ptxsim::FaultKind::BeforeWait;

use crate::SUBJECTS;
use crate::bug::{Bug, Found, Subject};
use crate::text::Change;
use crate::text::Change::{Delay, Remove};

/// No wait, and one behind all that it should hold back.
#[test]
fn every_kernel_waits_before_it_touches_what_kernels_write() {
    let waits = |subject: &&Subject| !matches!(subject.file, "linear" | "ramp");
    for subject in SUBJECTS.iter().filter(waits) {
        let early = |change: Change| {
            Bug::new(("griddepcontrol.wait", ""), 1, change, Found::By(&[BeforeWait]))
        };
        subject.finds(&[early(Remove), early(Delay)]);
    }
}
