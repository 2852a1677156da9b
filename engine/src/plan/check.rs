//! What every plan must hold, checked before a device sees it.

use std::ops::Range;

use offramp_kernels::{Op, Span};

use super::Plan;

/// Proves that every op reads only what an earlier op wrote whole and nothing has overwritten
/// since, that spans lie in the arena and fit their matrices, that only the value which crosses a
/// site is read after it, and that exits are numbered in order.
///
/// # Errors
/// A sentence that names the op.
pub fn check(plan: &Plan) -> Result<(), String> {
    let mut state = Written { whole: Vec::new(), plan };
    let mut exits = 0;
    for segment in &plan.segments {
        for op in &segment.ops {
            state.step(op)?;
        }
        let Some(site) = &segment.site else { continue };
        if let Some(ramp) = &site.ramp {
            state.step(&Op::Ramp(ramp.clone()))?;
            expect(ramp.exit.0 == exits, &format!("{} is not exit {exits}", ramp.exit))?;
            exits += 1;
        }
        state.step(&Op::Compact(site.compact.clone()))?;
        state.whole.retain(|&(span, _)| span == site.compact.x);
    }
    state.step(&Op::Ramp(plan.last.clone()))?;
    expect(plan.last.exit.0 == exits, "the final exit is not the last")?;
    expect(plan.layout.exits == exits as usize + 1, "the layout counts other exits")
}

fn expect(holds: bool, complaint: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint.to_owned()) }
}

/// Values that are whole right now, with their widths.
struct Written<'a> {
    whole: Vec<(Span, usize)>,
    plan: &'a Plan,
}

impl Written<'_> {
    fn step(&mut self, op: &Op) -> Result<(), String> {
        let (reads, write) = operands(op);
        for &(span, width) in &reads {
            let whole = self.whole.contains(&(span, width));
            expect(whole, &format!("{op}: {span}[{width}] is not whole here"))?;
        }
        let Some((span, width)) = write else { return Ok(()) };
        self.check_place(op, span, width)?;
        let aliased = reads.iter().any(|(read, _)| read.overlaps(&span) && *read != span);
        let in_place = matches!(op, Op::Linear(op) if op.x.overlaps(&span));
        expect(!aliased && !in_place, &format!("{op}: writes over what it still reads"))?;
        self.whole.retain(|(other, _)| !other.overlaps(&span));
        if !matches!(op, Op::Compact(_) | Op::Narrow(_)) {
            self.whole.push((span, width));
        }
        Ok(())
    }

    fn check_place(&self, op: &Op, span: Span, width: usize) -> Result<(), String> {
        let arena: Range<usize> = 0..self.plan.layout.activations + 1;
        let fits = arena.contains(&span.end()) && span.len == width * self.plan.layout.tokens_max;
        expect(fits, &format!("{op}: {span} does not fit its matrix or the arena"))
    }
}

type Operand = (Span, usize);

/// What an op reads and what it overwrites. Ops that drop rows or tokens overwrite their scratch;
/// their values stay whole.
fn operands(op: &Op) -> (Vec<Operand>, Option<Operand>) {
    match op {
        Op::Embed(op) => (vec![], Some((op.out, op.width))),
        Op::Norm(op) => (vec![(op.x, op.width)], Some((op.out, op.width))),
        Op::Linear(op) => {
            let residual = op.residual.map(|span| (span, op.n));
            ([(op.x, op.k)].into_iter().chain(residual).collect(), Some((op.out, op.n)))
        }
        Op::Attention(op) => {
            let width = op.heads * op.head_dim;
            (vec![(op.qkv, 3 * width)], Some((op.out, width)))
        }
        Op::Ramp(op) => (vec![(op.x, op.width)], None),
        Op::Compact(op) => (vec![(op.x, op.width)], Some((op.scratch, op.width))),
        Op::Narrow(op) => {
            (op.values.map(|value| (value, op.width)).to_vec(), Some((op.scratch, 2 * op.width)))
        }
        _ => (vec![], None),
    }
}
