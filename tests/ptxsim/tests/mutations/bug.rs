//! Puts bugs into a kernel, and says which of them its problem tells from the right answer.

use offramp_ptxsim::FaultKind;

use crate::text::{Change, Site, Text};
use crate::world::{Elem, Flaw, Run, SEED};

/// A kernel and the problem that it must solve.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) file: &'static str,
    pub(crate) kernel: &'static str,
    pub(crate) run: Run,
}

/// How a bug is found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    /// By a fault of one of these kinds.
    By(&'static [FaultKind]),
    /// By a wrong result.
    Wrong,
    /// By one or the other.
    Somehow,
    /// It is not, for this reason.
    Not(&'static str),
}

/// As many places as the compiler made of one line: at least one.
pub(crate) const SOME: usize = 0;

/// A bug: `change` at the `places` places of `site`, all at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bug {
    pub(crate) site: Site,
    pub(crate) places: usize,
    pub(crate) change: Change,
    pub(crate) found: Found,
}

impl Bug {
    pub(crate) const fn new(
        (op, from): (&'static str, &'static str),
        places: usize,
        change: Change,
        found: Found,
    ) -> Self {
        Self { site: Site { op, from }, places, change, found }
    }
}

impl Subject {
    /// Fails unless the kernel is right as it ships, in both formats and several orders of blocks.
    pub(crate) fn is_right(&self) {
        for (elem, seed) in [(Elem::F16, 0), (Elem::Bf16, 0), (Elem::F16, 1), (Elem::F16, 2)] {
            let text = Text::read(self.file, elem, self.kernel);
            SEED.set(seed);
            let outcome = self.solve(&text, elem);
            SEED.set(0);
            if let Err(flaw) = outcome {
                panic!("{} of {}, seed {seed}: {flaw}", self.kernel, elem.name());
            }
        }
    }

    /// Fails unless each of `bugs` is found as it says.
    pub(crate) fn finds(&self, bugs: &[Bug]) {
        let elem = Elem::F16;
        let text = Text::read(self.file, elem, self.kernel);
        let mut wrong = Vec::new();
        for bug in bugs {
            let lines = text.find(bug.site);
            if lines.is_empty() || (bug.places != SOME && lines.len() != bug.places) {
                wrong.push(format!("{bug:?} has {} places", lines.len()));
                continue;
            }
            let outcome = self.solve(&text.changed(&lines, bug.change), elem);
            let right = match (&outcome, bug.found) {
                (Err(Flaw::Fault(fault)), Found::By(kinds)) => kinds.contains(&fault.kind),
                (Err(Flaw::Wrong(_)), Found::Wrong) | (Err(_), Found::Somehow) => true,
                (Ok(()), Found::Not(reason)) => !reason.is_empty(),
                _ => false,
            };
            if !right {
                let outcome = outcome.err().map_or("nothing".into(), |flaw| flaw.to_string());
                wrong.push(format!("{bug:?} gives {outcome}"));
            }
        }
        assert!(wrong.is_empty(), "{}: {}", self.kernel, wrong.join("\n"));
    }

    /// Changes the places of `site` one after the other, and gives those that are not found.
    pub(crate) fn survivors(&self, site: Site, change: Change) -> Vec<String> {
        let elem = Elem::F16;
        let text = Text::read(self.file, elem, self.kernel);
        let lines = text.find(site);
        assert!(!lines.is_empty(), "{}: no place of {site:?}", self.kernel);
        let survives = |&&line: &&usize| self.solve(&text.changed(&[line], change), elem).is_ok();
        lines.iter().filter(survives).map(|&line| text.show(line)).collect()
    }

    fn solve(&self, text: &Text, elem: Elem) -> Result<(), Flaw> {
        let module = text.module();
        (self.run)(module.kernel(self.kernel).expect("the kernel"), elem)
    }
}
