//! `layer_norm` and `embed` against f64.

use offramp_ptxsim::Kernel;

use crate::moments::normalised;
use crate::world::Arg::{F, P, U};
use crate::world::{Elem, Flaw, World};

const EPS: f32 = 1e-3;
/// Held in registers, element by element, and in chunks that are read again.
const WIDTHS: [usize; 3] = [264, 37, 1048];
const TOKENS: usize = 6;
/// One block more than there are tokens for.
const GRID: [[u32; 3]; 2] = [[3, 1, 1], [128, 1, 1]];

pub(crate) fn norm(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    for width in WIDTHS {
        let mut world = World::new();
        let (x, out) =
            (world.matrix(elem, TOKENS + 3, width), world.matrix(elem, TOKENS + 2, width));
        let (x_map, x_map_at) = world.map(TOKENS, TOKENS + 3);
        let (out_map, out_map_at) = world.map(TOKENS, TOKENS + 2);
        let [scale, shift] = [0, 1].map(|_| world.numbers(width));
        let [scale_at, shift_at] = [&scale, &shift].map(|vector| world.floats(vector));
        let live = world.words(&[1, TOKENS as u32]);
        let mut args = [x.address, x_map_at, live, scale_at, shift_at].map(P).to_vec();
        args.extend([F(EPS), U(width as u32), P(out.address), P(out_map_at)]);
        world.launch(kernel, GRID, 0, &args)?;
        out.check(&world, &out_map, elem.rounding(), |token| {
            normalised(&x.row(x_map[token]), &scale, &shift, EPS)
        })?;
    }
    Ok(())
}

pub(crate) fn embed(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    for (width, normed) in WIDTHS.into_iter().flat_map(|width| [(width, true), (width, false)]) {
        let mut world = World::new();
        let tables = [11, 9, 3].map(|rows| world.weights(elem, rows, width));
        let out = world.matrix(elem, TOKENS + 2, width);
        let (out_map, out_map_at) = world.map(TOKENS, TOKENS + 2);
        // Id, position, kind.
        let tokens: Vec<[u32; 3]> = (0..TOKENS as u32).map(|t| [t * 7 % 11, t, t % 3]).collect();
        let packed: Vec<u32> =
            tokens.iter().flat_map(|&[id, position, kind]| [id, position | kind << 16]).collect();
        let [scale, shift] = [0, 1].map(|_| world.numbers(width));
        let [scale_at, shift_at] =
            [&scale, &shift].map(|vector| if normed { world.floats(vector) } else { 0 });
        let live = world.words(&[1, TOKENS as u32]);
        let mut args = [world.words(&packed), live].map(P).to_vec();
        args.extend(tables.iter().map(|table| P(table.address)));
        args.extend([P(scale_at), P(shift_at), F(EPS), U(width as u32)]);
        args.extend([P(out.address), P(out_map_at)]);
        world.launch(kernel, GRID, 0, &args)?;
        out.check(&world, &out_map, elem.rounding(), |token| {
            let ids = tokens[token];
            let rows: Vec<Vec<f64>> = (0..3).map(|i| tables[i].row(ids[i])).collect();
            let sum: Vec<f64> = (0..width).map(|at| rows.iter().map(|row| row[at]).sum()).collect();
            if normed { normalised(&sum, &scale, &shift, EPS) } else { sum }
        })?;
    }
    Ok(())
}
