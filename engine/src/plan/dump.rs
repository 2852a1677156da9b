//! A plan as text: what runs, where values lie, what each segment costs.

use std::fmt;

use offramp_kernels::{Cost, LiveBound, Op};

use super::{Plan, Segment};

/// The counts that the costs in a dump are for.
fn dump_at(plan: &Plan) -> (LiveBound, &'static str) {
    match plan.layout.row_pixels {
        0 => (LiveBound { rows: 1, tokens: 128 }, "1 row x 128 tokens"),
        _ => (LiveBound { rows: 1, tokens: plan.layout.image_tokens.max(1) }, "1 image"),
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layout = &self.layout;
        writeln!(
            f,
            "plan: {} segments, {} ramps, {} parameters, {} activations for {} rows {} tokens",
            self.segments.len(),
            self.ramps(),
            layout.parameters(),
            layout.activations,
            layout.rows_max,
            layout.tokens_max,
        )?;
        for (index, segment) in self.segments.iter().enumerate() {
            write_segment(f, index, segment, dump_at(self))?;
        }
        writeln!(f, "final:")?;
        writeln!(f, "  {}", Op::Ramp(self.last.clone()))
    }
}

fn write_segment(
    f: &mut fmt::Formatter<'_>,
    index: usize,
    segment: &Segment,
    (live, name): (LiveBound, &str),
) -> fmt::Result {
    let Cost { flops, bytes } = segment.cost(live);
    let (megaflops, megabytes) = (flops / 1e6, bytes / 1e6);
    writeln!(f, "segment {index}: {megaflops:.3} MFLOP {megabytes:.3} MB at {name}")?;
    for op in &segment.ops {
        writeln!(f, "  {op}")?;
    }
    let Some(site) = &segment.site else { return Ok(()) };
    writeln!(f, "site {index}:")?;
    if let Some(ramp) = &site.ramp {
        writeln!(f, "  {}", Op::Ramp(ramp.clone()))?;
    }
    writeln!(f, "  {}", Op::Compact(site.compact.clone()))
}
