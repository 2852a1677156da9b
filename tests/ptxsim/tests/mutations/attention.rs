//! The attention kernels against a softmax in f64.

use offramp_ptxsim::Kernel;

use crate::world::Arg::{F, P, U};
use crate::world::{Elem, Flaw, World};

/// How a kernel is launched and over what.
struct Problem<'a> {
    /// Queries of a block.
    queries: u32,
    head_dim: usize,
    lens: &'a [u32],
    shared: u32,
}

const HEADS: usize = 2;

pub(crate) fn of_32(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let lens = &[5, 70, 150];
    solve(kernel, elem, &Problem { queries: 64, head_dim: 24, lens, shared: 20_480 })
}

pub(crate) fn of_64(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let lens = &[5, 150];
    solve(kernel, elem, &Problem { queries: 64, head_dim: 40, lens, shared: 40_960 })
}

pub(crate) fn of_128(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let lens = &[150, 5];
    solve(kernel, elem, &Problem { queries: 64, head_dim: 104, lens, shared: 81_920 })
}

pub(crate) fn any(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    for head_dim in [7, 75, 250] {
        let lens = &[5, 9];
        solve(kernel, elem, &Problem { queries: 4, head_dim, lens, shared: 0 })?;
    }
    Ok(())
}

fn solve(kernel: &Kernel, elem: Elem, problem: &Problem<'_>) -> Result<(), Flaw> {
    let &Problem { queries, head_dim, lens, shared } = problem;
    let mut world = World::new();
    let tokens = lens.iter().sum::<u32>() as usize;
    let width = HEADS * head_dim;
    // Steep enough that maxima rise from tile to tile.
    let scale = 1.5;
    let (qkv, out) =
        (world.matrix(elem, tokens + 3, 3 * width), world.matrix(elem, tokens + 2, width));
    let (qkv_map, qkv_map_at) = world.map(tokens, tokens + 3);
    let (out_map, out_map_at) = world.map(tokens, tokens + 2);
    let rows = lens.len() as u32;
    let offsets: Vec<u32> = (0..=lens.len()).map(|row| lens[..row].iter().sum()).collect();
    let [offsets_at, live] = [world.words(&offsets), world.words(&[rows, tokens as u32])];
    let args = [
        [qkv.address, qkv_map_at, offsets_at].map(P).to_vec(),
        [live, out.address, out_map_at].map(P).to_vec(),
        vec![U(HEADS as u32), U(head_dim as u32), F(scale)],
    ];
    let longest = lens.iter().max().copied().unwrap_or(0);
    // The launch believes in one row more.
    let grid = [longest.div_ceil(queries), HEADS as u32, rows + 1];
    world.launch(kernel, [grid, [128, 1, 1]], shared, &args.concat())?;
    let tokens: Vec<Vec<f64>> = qkv_map.iter().map(|&place| qkv.row(place)).collect();
    // The weights are rounded too.
    let tolerance = [4.0 * elem.half_unit(), elem.half_unit()];
    out.check(&world, &out_map, tolerance, |token| {
        let row = offsets.partition_point(|&offset| offset as usize <= token) - 1;
        let row = &tokens[offsets[row] as usize..offsets[row + 1] as usize];
        (0..HEADS).flat_map(|head| attend(&tokens[token], row, head, head_dim, scale)).collect()
    })
}

/// What a token's query makes of its row.
fn attend(token: &[f64], row: &[Vec<f64>], head: usize, dim: usize, scale: f32) -> Vec<f64> {
    let part = |token: &[f64], part: usize| token[(part * HEADS + head) * dim..][..dim].to_vec();
    let query = part(token, 0);
    let score = |other: &Vec<f64>| {
        let score: f64 = query.iter().zip(part(other, 1)).map(|(q, k)| q * k).sum();
        (score * f64::from(scale)).exp()
    };
    let weights: Vec<f64> = row.iter().map(score).collect();
    let sum: f64 = weights.iter().sum();
    let mut mixed = vec![0.0; dim];
    for (weight, other) in weights.iter().zip(row) {
        for (mixed, value) in mixed.iter_mut().zip(part(other, 2)) {
            *mixed += weight / sum * value;
        }
    }
    mixed
}
