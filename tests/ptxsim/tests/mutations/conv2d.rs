//! `conv2d_wide`, `conv2d_few`, `conv2d_thin` and `conv2d_any` against windows in f64.

use offramp_ptxsim::Kernel;

use crate::linear::activate;
use crate::world::Arg::{P, U};
use crate::world::{Elem, Flaw, World};

/// A convolution of so many images, of as many as the launch believes in.
#[derive(Clone, Copy)]
struct Problem {
    images: usize,
    launched: usize,
    height: usize,
    width: usize,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    activation: u32,
    /// Images are looked up, and there is a residual.
    mapped: bool,
}

/// Output pixels and outputs of a tile, and how it is launched.
struct Shape {
    tile: [usize; 2],
    threads: u32,
    shared: u32,
}

/// Several stages of k, the last one broken off.
const LARGE: Problem = Problem {
    images: 3,
    launched: 8,
    height: 7,
    width: 7,
    inputs: 40,
    outputs: 136,
    kernel: 3,
    stride: 1,
    padding: 1,
    activation: 3,
    mapped: true,
};

/// One stage, windows apart, no maps.
const SMALL: Problem = Problem {
    images: 2,
    launched: 2,
    height: 9,
    width: 6,
    inputs: 8,
    outputs: 13,
    kernel: 2,
    stride: 2,
    padding: 0,
    activation: 0,
    mapped: false,
};

pub(crate) fn wide(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [128, 128], threads: 256, shared: 101_376 };
    let odd = Problem { outputs: 29, activation: 1, ..LARGE };
    [LARGE, odd, SMALL].iter().try_for_each(|problem| problem.solve(kernel, elem, &shape))
}

pub(crate) fn few(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [64, 64], threads: 128, shared: 67_072 };
    let large = Problem { outputs: 72, ..LARGE };
    let odd = Problem { outputs: 29, activation: 0, stride: 2, ..LARGE };
    [large, odd, SMALL].iter().try_for_each(|problem| problem.solve(kernel, elem, &shape))
}

pub(crate) fn thin(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [128, 32], threads: 128, shared: 63_744 };
    let large = Problem { outputs: 40, ..LARGE };
    let odd = Problem { outputs: 29, activation: 0, stride: 2, ..LARGE };
    [large, odd, SMALL].iter().try_for_each(|problem| problem.solve(kernel, elem, &shape))
}

pub(crate) fn any(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let shape = Shape { tile: [64, 64], threads: 128, shared: 67_072 };
    let large = Problem { inputs: 35, outputs: 66, ..LARGE };
    let few = Problem { inputs: 3, outputs: 16, kernel: 5, padding: 2, ..LARGE };
    let one = Problem { inputs: 1, ..SMALL };
    [large, few, one].iter().try_for_each(|problem| problem.solve(kernel, elem, &shape))
}

impl Problem {
    fn to(&self) -> [usize; 2] {
        [self.height, self.width]
            .map(|side| (side + 2 * self.padding - self.kernel) / self.stride + 1)
    }

    fn k(&self) -> usize {
        self.kernel * self.kernel * self.inputs
    }

    fn solve(&self, kernel: &Kernel, elem: Elem, shape: &Shape) -> Result<(), Flaw> {
        let mut world = World::new();
        let (pixels, to) = (self.height * self.width, self.to());
        let to_pixels = to[0] * to[1];
        let x = world.matrix(elem, self.images + 3, pixels * self.inputs);
        let weight = world.weights(elem, self.outputs, self.k());
        let size = to_pixels * self.outputs;
        let [residual, out] = [2, 4].map(|more| world.matrix(elem, self.images + more, size));
        let packed = || ((0..self.images as u32).collect::<Vec<_>>(), 0);
        let maps = [3, 2, 4].map(|more| match self.mapped {
            true => world.map(self.images, self.images + more),
            false => packed(),
        });
        let bias = world.numbers(self.outputs);
        let mut args = vec![P(x.address), P(maps[0].1), P(weight.address), P(world.floats(&bias))];
        let residual_at = if self.mapped { residual.address } else { 0 };
        args.extend([P(residual_at), P(maps[1].1), P(out.address), P(maps[2].1)]);
        let images = self.images as u32;
        args.push(P(world.words(&[images, images])));
        let window = [self.kernel, self.stride, self.padding, to_pixels, to[1], self.outputs];
        let counts = [self.height, self.width, self.inputs].into_iter().chain(window);
        args.extend(counts.map(|count| U(count as u32)));
        args.push(U(self.activation));
        let tiles = (self.launched * to_pixels).div_ceil(shape.tile[0])
            * self.outputs.div_ceil(shape.tile[1]);
        world.launch(kernel, [[tiles as u32, 1, 1], [shape.threads, 1, 1]], shape.shared, &args)?;
        let weights: Vec<_> = (0..self.outputs).map(|row| weight.row(row as u32)).collect();
        out.check(&world, &maps[2].0, elem.rounding(), |image| {
            let x = x.row(maps[0].0[image]);
            let added = residual.row(maps[1].0[image]);
            let of = |(at, added): (usize, &f64)| {
                let (pixel, output) = (at / self.outputs, at % self.outputs);
                let sum = self.window(&x, &weights[output], [pixel / to[1], pixel % to[1]]);
                let added = if self.mapped { *added } else { 0.0 };
                activate(self.activation, sum + f64::from(bias[output]) + added)
            };
            added.iter().enumerate().map(of).collect()
        })
    }

    /// The sum over the window of an output pixel.
    fn window(&self, x: &[f64], weight: &[f64], [y, column]: [usize; 2]) -> f64 {
        let taps = (0..self.kernel * self.kernel).zip(weight.chunks(self.inputs));
        let sum = |(tap, weight): (usize, &[f64])| {
            let line = (y * self.stride + tap / self.kernel).checked_sub(self.padding);
            let column = (column * self.stride + tap % self.kernel).checked_sub(self.padding);
            let (Some(line), Some(column)) = (line, column) else { return 0.0 };
            if line >= self.height || column >= self.width {
                return 0.0;
            }
            let pixel = &x[(line * self.width + column) * self.inputs..][..self.inputs];
            pixel.iter().zip(weight).map(|(x, w)| x * w).sum()
        };
        taps.map(sum).sum()
    }
}
