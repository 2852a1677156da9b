//! The same pass again and again: graphs take over from single launches, and no bit changes.

use offramp::{AfterExit, Exits, Packing, PassSettings, Row};

use crate::support::{Bench, Given, Heard};

/// Passes of a shape: after a few of them each begins with the recording of one sequence that has
/// come often enough, until all are graphs.
pub(crate) const PASSES: usize = 20;

/// Runs the same rows [`PASSES`] times; `after` is told which pass has ended.
pub(crate) fn repeat(bench: &mut Bench, settings: &Repeated<'_>, mut after: impl FnMut(usize)) {
    let Repeated { rows, exits, name } = settings;
    let mut pass = PassSettings::new(exits, AfterExit::Compact);
    // What is launched must not hang on what packing was measured to cost.
    pass.packing = Packing::Always;
    let (first, _) = bench.run_with(rows, &pass);
    after(0);
    for number in 1..PASSES {
        let (again, _) = bench.run_with(rows, &pass);
        let what = format!("{name}, {} rows, pass {number}", rows.len());
        assert!(bits(&again) == bits(&first), "{what}: other bits than at first");
        after(number);
    }
}

/// What is run again and again.
pub(crate) struct Repeated<'a> {
    pub(crate) name: &'a str,
    pub(crate) rows: &'a [Row],
    pub(crate) exits: &'a Exits,
}

/// Exit, label, score and logits of every row.
fn bits(heard: &Heard) -> Vec<(String, u32, u32, Vec<u32>)> {
    let of = |given: &Option<Given>| {
        let given = given.as_ref().unwrap();
        let logits = given.logits.iter().map(|logit| logit.to_bits()).collect();
        (given.exit.to_string(), given.label, given.score.to_bits(), logits)
    };
    heard.answers.iter().map(of).collect()
}
