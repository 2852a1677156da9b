//! What ops read and write: the one table of it.

use offramp_kernels::{ArenaLayout, Grid, Op, RowTokens, Span};

/// A value and the elements it must have.
pub(super) type Operand = (Span, usize);

/// What an op reads, and what it overwrites. Ops that drop rows or tokens overwrite nothing: what
/// they read stays whole, and nothing else does.
pub(super) fn operands(op: &Op, layout: &ArenaLayout) -> (Vec<Operand>, Option<Operand>) {
    let text = |span, width: usize| (span, width * layout.tokens_max);
    let map = |span, grid: Grid, width| (span, layout.rows_max * grid.pixels() * width);
    let rows = |span, tokens, width| match tokens {
        RowTokens::Own => text(span, width),
        RowTokens::Each(pixels) => (span, layout.rows_max * pixels * width),
    };
    match op {
        Op::Embed(op) => (vec![], Some(text(op.out, op.width))),
        Op::Norm(op) => (vec![text(op.x, op.width)], Some(text(op.out, op.width))),
        Op::Linear(op) => {
            let residual = op.residual.map(|span| text(span, op.n));
            let reads = [text(op.x, op.k)].into_iter().chain(residual).collect();
            (reads, Some(text(op.out, op.n)))
        }
        Op::Attention(op) => {
            let width = op.heads * op.head_dim;
            (vec![text(op.qkv, 3 * width)], Some(text(op.out, width)))
        }
        Op::Ramp(op) => (vec![rows(op.x, op.tokens, op.width)], None),
        Op::Compact(op) => (vec![rows(op.x, op.tokens, op.width)], None),
        Op::Narrow(op) => (op.values.map(|value| text(value, op.width)).to_vec(), None),
        Op::Patches(op) => {
            let x = rows(op.x, RowTokens::Each(op.patches), op.width);
            (vec![x], Some(text(op.out, op.width)))
        }
        Op::Pixels(op) => (vec![], Some(map(op.out, op.to(), op.width()))),
        Op::Conv2d(op) => {
            let residual = op.residual.map(|span| map(span, op.to(), op.outputs));
            let reads = [map(op.x, op.from, op.inputs)].into_iter().chain(residual).collect();
            (reads, Some(map(op.out, op.to(), op.outputs)))
        }
        Op::Pool2d(op) => {
            (vec![map(op.x, op.from, op.width)], Some(map(op.out, op.to(), op.width)))
        }
    }
}

/// Every span that an op names.
pub(super) fn spans(op: &mut Op) -> Vec<&mut Span> {
    match op {
        Op::Embed(op) => vec![&mut op.out],
        Op::Pixels(op) => vec![&mut op.out],
        Op::Norm(op) => vec![&mut op.x, &mut op.out],
        Op::Patches(op) => vec![&mut op.x, &mut op.out],
        Op::Pool2d(op) => vec![&mut op.x, &mut op.out],
        Op::Linear(op) => [&mut op.x, &mut op.out].into_iter().chain(&mut op.residual).collect(),
        Op::Conv2d(op) => [&mut op.x, &mut op.out].into_iter().chain(&mut op.residual).collect(),
        Op::Attention(op) => vec![&mut op.qkv, &mut op.out],
        Op::Ramp(op) => vec![&mut op.x],
        Op::Compact(op) => vec![&mut op.x],
        Op::Narrow(op) => op.values.iter_mut().collect(),
    }
}
