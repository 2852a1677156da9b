//! Which flags of `classify` and `serve` would change nothing: whoever gives one expects that it
//! does, so it is refused.

use crate::adapt::AdaptArgs;
use crate::args::{AfterExitArg, ExitArgs, ExitsSwitch, MachineArgs};
use crate::given::Rule;

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
