//! The kernels of products against a product in f64.

use offramp_ptxsim::Kernel;

use crate::moments::{EPS, moments, normalised, standard};
use crate::world::Arg::{F, P, U};
use crate::world::{Elem, Flaw, Matrix, World, near};

/// A product of so many tokens, of as many as the launch believes in.
#[derive(Clone, Copy)]
struct Problem {
    tokens: usize,
    launched: u32,
    n: usize,
    k: usize,
    activation: u32,
    splits: u32,
    /// Tokens are looked up, and there is a residual.
    mapped: bool,
    norms: Norms,
}

/// The layer norms that a product takes over.
#[derive(Clone, Copy, PartialEq)]
enum Norms {
    None,
    /// Of x.
    X,
    /// Of the residual, and moments of what is written.
    Residual,
}

/// How a kernel is launched.
struct Shape {
    /// Outputs and tokens.
    tile: [u32; 2],
    threads: u32,
    shared: u32,
}

/// Few tokens and outputs, no maps.
const SMALL: Problem = Problem {
    tokens: 6,
    launched: 6,
    n: 13,
    k: 264,
    activation: 1,
    splits: 1,
    mapped: false,
    norms: Norms::None,
};

/// The residual behind its norm; broken blocks of columns.
fn with_moments(problem: Problem) -> Problem {
    Problem { norms: Norms::Residual, n: problem.n + 11, ..problem }
}

pub(crate) fn wide(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [128, 128], threads: 256, shared: 101_376 };
    let large =
        Problem { tokens: 131, launched: 260, n: 136, activation: 0, mapped: true, ..SMALL };
    let odd = Problem { n: 29, activation: 0, mapped: true, ..SMALL };
    let normed = [Problem { norms: Norms::X, mapped: true, ..SMALL }, with_moments(large)];
    let plain = [large, odd, SMALL];
    plain.iter().chain(&normed).try_for_each(|problem| solve(kernel, elem, &shape, problem))
}

pub(crate) fn broad(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [192, 128], threads: 256, shared: 126_464 };
    let large =
        Problem { tokens: 131, launched: 260, n: 200, activation: 0, mapped: true, ..SMALL };
    let odd = Problem { n: 29, activation: 0, mapped: true, ..SMALL };
    let normed = [Problem { norms: Norms::X, mapped: true, ..SMALL }, with_moments(large)];
    let plain = [large, odd, SMALL];
    plain.iter().chain(&normed).try_for_each(|problem| solve(kernel, elem, &shape, problem))
}

pub(crate) fn few(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [64, 64], threads: 128, shared: 67_072 };
    let large = Problem { tokens: 67, launched: 130, n: 72, k: 1032, splits: 3, ..SMALL };
    let large = Problem { activation: 0, mapped: true, ..large };
    let odd = Problem { n: 29, activation: 0, mapped: true, ..SMALL };
    let even = Problem { n: 24, activation: 3, mapped: true, k: 72, ..SMALL };
    let normed = [Problem { norms: Norms::X, mapped: true, ..SMALL }, with_moments(large)];
    let plain = [large, odd, even, SMALL];
    plain.iter().chain(&normed).try_for_each(|problem| solve(kernel, elem, &shape, problem))
}

pub(crate) fn any(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [16, 16], threads: 256, shared: 0 };
    let large = Problem { tokens: 19, launched: 40, n: 21, k: 37, mapped: true, ..SMALL };
    (0..6)
        .try_for_each(|activation| solve(kernel, elem, &shape, &Problem { activation, ..large }))?;
    solve(kernel, elem, &shape, &SMALL)
}

fn solve(kernel: &Kernel, elem: Elem, shape: &Shape, problem: &Problem) -> Result<(), Flaw> {
    let &Problem { tokens, launched, n, k, activation, splits, mapped, norms } = problem;
    let mut world = World::new();
    let x = world.matrix(elem, tokens + 3, k);
    let weight = world.weights(elem, n, k);
    let [residual, out] = [tokens + 2, tokens + 4].map(|rows| world.matrix(elem, rows, n));
    let packed = || ((0..tokens as u32).collect::<Vec<_>>(), 0);
    let maps =
        [3, 2, 4].map(|more| if mapped { world.map(tokens, tokens + more) } else { packed() });
    let bias = world.numbers(n);
    let [across, down] = shape.tile;
    let tiles = [(n as u32).div_ceil(across), launched.div_ceil(down)];
    let sums = (splits * tiles[0] * tiles[1] * across * down) as usize;
    let mut args = vec![P(x.address), P(maps[0].1), P(weight.address), P(world.floats(&bias))];
    let residual_at = if mapped { residual.address } else { 0 };
    args.extend([P(residual_at), P(maps[1].1), P(out.address), P(maps[2].1)]);
    args.push(P(world.words(&[1, tokens as u32])));
    args.extend([n as u32, k as u32, activation].map(U));
    let (scale, shift) = (world.numbers(n), world.numbers(n));
    let out_moments = world.room((tokens + 4) * n.div_ceil(64) * 8);
    let rows = |matrix: &Matrix, count: usize| moments((0..count as u32).map(|i| matrix.row(i)));
    let weight_sums = || (0..n as u32).map(|i| weight.row(i).iter().sum::<f64>() as f32);
    match norms {
        _ if kernel.name() == "linear_any" => {}
        Norms::None => args.extend([P(0), F(0.0), P(0), P(0), P(0), P(0)]),
        Norms::X => {
            let sums = world.floats(&weight_sums().collect::<Vec<_>>());
            args.extend([P(world.floats(&rows(&x, tokens + 3))), F(EPS), P(sums)]);
            args.extend([P(0), P(0), P(0)]);
        }
        Norms::Residual => {
            args.extend([P(world.floats(&rows(&residual, tokens + 2))), F(EPS), P(0)]);
            args.extend([world.floats(&scale), world.floats(&shift), out_moments].map(P));
        }
    }
    if kernel.name() == "linear_few" {
        let arrivals = world.words(&vec![0; (tiles[0] * tiles[1]) as usize]);
        args.extend([P(world.room(sums * 4)), P(arrivals), U(splits)]);
    }
    let expected = |token: usize| -> Vec<f64> {
        let x = x.row(maps[0].0[token]);
        let x = if norms == Norms::X { standard(&x, EPS) } else { x };
        let sum = |column: usize| {
            let weight = weight.row(column as u32);
            let sum: f64 = x.iter().zip(&weight).map(|(x, w)| x * w).sum();
            activate(activation, sum + f64::from(bias[column]))
        };
        let added = residual.row(maps[1].0[token]);
        let added = match norms {
            Norms::Residual => normalised(&added, &scale, &shift, EPS),
            _ => added,
        };
        let added = |column: usize| if mapped { added[column] } else { 0.0 };
        (0..n).map(|column| sum(column) + added(column)).collect()
    };
    // Twice: what a launch leaves behind must do for the next.
    for _ in 0..2 {
        out.restore(&world);
        let grid = [tiles[0], tiles[1], splits];
        world.launch(kernel, [grid, [shape.threads, 1, 1]], shape.shared, &args)?;
        out.check(&world, &maps[2].0, elem.rounding(), expected)?;
        if norms == Norms::Residual {
            check_moments(&world, &out, &maps[2].0, out_moments)?;
        }
    }
    Ok(())
}

/// The moments of what was written, by places.
fn check_moments(world: &World, out: &Matrix, map: &[u32], at: u64) -> Result<(), Flaw> {
    for &place in map {
        let row = out.found(world, place);
        let expected: Vec<f64> = moments(std::iter::once(row)).into_iter().map(f64::from).collect();
        let from = at + u64::from(place) * expected.len() as u64 * 4;
        let found = world.read_words(from, expected.len());
        let found: Vec<f64> = found.iter().map(|&bits| f32::from_bits(bits).into()).collect();
        near("moments", &found, &expected, [1e-4; 2])?;
    }
    Ok(())
}

/// As `Activation` in `common.cuh`.
pub(crate) fn activate(activation: u32, x: f64) -> f64 {
    match activation {
        1 => 0.5 * x * (1.0 + erf(x / 2f64.sqrt())),
        2 => {
            0.5 * x
                * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        3 => x.max(0.0),
        4 => x.tanh(),
        5 => x / (1.0 + (-x).exp()),
        _ => x,
    }
}

/// The error function by its series.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        let n = f64::from(n);
        term *= -x * x / n;
        sum += term / (2.0 * n + 1.0);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
