//! Flags that would change nothing: whoever gives one expects that it does, so it is refused.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::adapt::AdaptArgs;
use crate::args::{AfterExitArg, ExitArgs, ExitsSwitch, MachineArgs};
use crate::failure::{Failure, Result};

/// A flag, by its name with `_`, whether it changes nothing as things are, and why.
pub(crate) type Rule = (&'static str, bool, &'static str);

/// Refuses the first flag that was given, on the command line, in the environment or in a file, and
/// changes nothing.
pub(crate) fn refuse(rules: &[Rule], given: &ArgMatches) -> Result<()> {
    let is_given = |flag: &str| {
        let source = given.value_source(flag);
        // A switch that is off in the environment asks for nothing.
        let is_off = matches!(given.try_get_one::<bool>(flag), Ok(Some(false)));
        matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable)) && !is_off
    };
    let Some((flag, _, why)) = rules.iter().find(|(flag, idle, _)| *idle && is_given(flag)) else {
        return Ok(());
    };
    Err(changes_nothing(flag, given.value_source(flag), why))
}

/// What is said of such a flag, by its name with `_`.
pub(crate) fn changes_nothing(flag: &str, source: Option<ValueSource>, why: &str) -> Failure {
    let name = flag.replace('_', "-");
    let from = match source {
        Some(ValueSource::EnvVariable) => format!(" (OFFRAMP_{})", flag.to_uppercase()),
        _ => String::new(),
    };
    Failure::Usage(format!("--{name}{from} changes nothing {why}: leave it out"))
}

/// What `classify` and `serve` have in common: exits, audits, and whether they follow the inputs.
pub(crate) fn of_exits(exits: &ExitArgs, after_exit: AfterExitArg, adapt: &AdaptArgs) -> Vec<Rule> {
    let is_off = exits.exits == ExitsSwitch::Off;
    let is_watching = exits.exits == ExitsSwitch::Watch;
    let nobody_leaves = is_off || is_watching && !adapt.is_on();
    let is_release = after_exit == AfterExitArg::Release;
    let is_fixed = !adapt.is_on();
    vec![
        ("policy", is_off, "with --exits off"),
        ("ramps", is_off, "with --exits off"),
        ("thresholds", is_off, "with --exits off"),
        ("threshold", is_off, "with --exits off"),
        ("thresholds", is_watching, "with --exits watch, where nobody leaves by them"),
        ("threshold", is_watching, "with --exits watch, where nobody leaves by it"),
        ("after_exit", nobody_leaves, "where no row leaves early (--exits off or watch)"),
        ("audit_rate", nobody_leaves, "where no row leaves early (--exits off or watch)"),
        ("audit_rate", is_release, "with --after-exit release, where every row runs to the end"),
        ("max_disagreement", is_fixed, "without --adapt"),
        ("confidence", is_fixed, "without --adapt"),
        ("promise", is_fixed, "without --adapt"),
        ("journal", is_fixed, "without --adapt"),
        ("confidence", adapt.is_point(), "with --promise point"),
    ]
}

/// Of a machine that was chosen outright.
pub(crate) fn of_machine(machine: &MachineArgs) -> Rule {
    let is_cpu = machine.device == offramp::DeviceChoice::Cpu;
    ("precision", is_cpu, "with --device cpu, which computes in f32")
}
