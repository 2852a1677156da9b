//! What every plan must hold, checked before a device sees it.

use std::ops::Range;

use offramp_kernels::{Linear, LinearNorms, MomentsId, Op, Span};

use super::operands::{Operand, operands};
use super::{Plan, WeightSource};

/// Proves that every op reads only what an earlier op wrote whole and nothing has overwritten
/// since, that a value which lies before its norm is resident, as its moments are, and is read
/// behind it, and no other is, that spans lie in the arena and fit their matrices, that only the
/// value which crosses a site is read after it and that it lies where no other value ever does,
/// that pixels are written to no such place, and that exits are numbered in order.
///
/// # Errors
/// A sentence that names the op.
pub fn check(plan: &Plan) -> Result<(), String> {
    let moments = vec![None; plan.layout.moments.len()];
    let mut state = Written { whole: Vec::new(), moments, plan };
    let mut exits = 0;
    check_residents(plan)?;
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
        let x = site.compact.x;
        let is_resident = plan.layout.resident.contains(&x);
        expect(is_resident, &format!("{x} crosses a site, and is not resident"))?;
        state.step(&Op::Compact(site.compact.clone()))?;
    }
    state.step(&Op::Ramp(plan.last.clone()))?;
    expect(plan.last.exit.0 == exits, "the final exit is not the last")?;
    expect(plan.layout.exits == exits as usize + 1, "the layout counts other exits")
}

/// Residents lie in the arena, apart from each other.
fn check_residents(plan: &Plan) -> Result<(), String> {
    let resident = &plan.layout.resident;
    for (index, span) in resident.iter().enumerate() {
        let is_apart = resident[..index].iter().all(|other| !other.overlaps(span));
        let fits = span.end() <= plan.layout.activations;
        expect(is_apart && fits, &format!("{span} is no place for a resident"))?;
    }
    Ok(())
}

fn expect(holds: bool, complaint: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(complaint.to_owned()) }
}

/// Values that are whole right now.
struct Written<'a> {
    whole: Vec<Span>,
    /// By table of moments: the value they are of.
    moments: Vec<Option<Span>>,
    plan: &'a Plan,
}

impl Written<'_> {
    fn step(&mut self, op: &Op) -> Result<(), String> {
        let (reads, write) = operands(op, &self.plan.layout);
        for &(span, len) in &reads {
            let whole = self.whole.contains(&span) && span.len == len;
            expect(whole, &format!("{op}: {span}, {len} elements, is not whole here"))?;
        }
        self.check_norms(op, &reads)?;
        if matches!(op, Op::Compact(_) | Op::Narrow(_)) {
            self.whole.retain(|span| reads.iter().any(|(read, _)| read == span));
        }
        let Some((span, len)) = write else { return Ok(()) };
        self.check_place(op, span, len)?;
        let aliased = reads.iter().any(|(read, _)| read.overlaps(&span) && *read != span);
        let in_place = match op {
            Op::Linear(op) => op.x.overlaps(&span),
            Op::Conv2d(op) => op.x.overlaps(&span),
            Op::Pool2d(op) => op.x.overlaps(&span),
            Op::Patches(op) => op.x.overlaps(&span),
            _ => false,
        };
        expect(!aliased && !in_place, &format!("{op}: writes over what it still reads"))?;
        self.whole.retain(|other| !other.overlaps(&span));
        for of in &mut self.moments {
            *of = of.filter(|of| !of.overlaps(&span));
        }
        if let Op::Linear(Linear { norms: LinearNorms { out: Some(out), .. }, .. }) = op {
            let there = self.moments.get_mut(out.0).ok_or(format!("{op}: no such moments"))?;
            *there = Some(span);
            let is_resident = self.plan.layout.resident.contains(&span);
            expect(is_resident, &format!("{op}: {span} has moments, and is not resident"))?;
            let width = self.plan.layout.moments[out.0];
            expect(len == width * self.plan.layout.tokens_max, &format!("{op}: other moments"))?;
        }
        self.whole.push(span);
        Ok(())
    }

    /// A value with moments is read by them, and one without is not. Ops that drop rows or tokens
    /// leave vectors and moments where they are.
    fn check_norms(&self, op: &Op, reads: &[Operand]) -> Result<(), String> {
        let norms = match op {
            Op::Compact(_) | Op::Narrow(_) => return Ok(()),
            Op::Linear(op) => {
                let source = self.plan.sources.get(op.weight.0);
                let is_bound = matches!(source, Some(WeightSource::Normed { .. }));
                let complaint = format!("{op}: a weight bound for another x");
                expect(is_bound == op.norms.x.is_some(), &complaint)?;
                let of_residual = op.norms.residual.map(|residual| residual.standard);
                [op.norms.x, of_residual]
            }
            Op::Ramp(op) => [op.norm.map(|norm| norm.standard), None],
            _ => [None, None],
        };
        // Operands in the order of `operands`: x, and the residual.
        for ((span, _), norm) in reads.iter().zip(norms) {
            let given = norm.map(|norm| norm.moments);
            let own = self.moments.iter().position(|of| *of == Some(*span)).map(MomentsId);
            expect(given == own, &format!("{op}: {span} is read by other moments than its own"))?;
        }
        Ok(())
    }

    fn check_place(&self, op: &Op, span: Span, len: usize) -> Result<(), String> {
        let arena: Range<usize> = 0..self.plan.layout.activations + 1;
        let fits = arena.contains(&span.end()) && span.len == len;
        expect(fits, &format!("{op}: {span} does not fit its matrix or the arena"))?;
        let mut met = self.plan.layout.resident.iter().filter(|resident| resident.overlaps(&span));
        let is_whole = met.all(|resident| *resident == span);
        expect(is_whole, &format!("{op}: {span} lies over a resident"))?;
        let crosses = matches!(op, Op::Pixels(_)) && self.plan.layout.resident.contains(&span);
        expect(!crosses, &format!("{op}: pixels are written as they came, not by place"))
    }
}
