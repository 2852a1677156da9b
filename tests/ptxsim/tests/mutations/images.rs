//! `pixels` and `pool2d`.

use offramp_ptxsim::Kernel;

use crate::world::Arg::{P, U};
use crate::world::{Elem, Flaw, World};

/// Threads of a block.
const THREADS: u32 = 256;

/// Images of 5 x 7 pixels of 3 channels: chunks hold parts of two images.
pub(crate) fn pixels(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let (images, channels, row) = (3, 3, 5 * 7 * 3);
    let mut world = World::new();
    let bytes: Vec<u8> = (0..images * row).map(|_| world.random.u8(..)).collect();
    let [scale, shift] = [0; 2].map(|_| world.numbers(channels));
    let out = world.matrix(elem, images + 2, row);
    let live = world.words(&[images as u32, images as u32]);
    let mut args = vec![P(world.bytes(&bytes)), P(live), P(world.floats(&scale))];
    args.extend([P(world.floats(&shift)), P(out.address), U(row as u32), U(channels as u32)]);
    world.launch(kernel, [[2, 1, 1], [THREADS, 1, 1]], 0, &args)?;
    let places: Vec<u32> = (0..images as u32).collect();
    out.check(&world, &places, elem.rounding(), |image| {
        let of = |at: usize| {
            let byte = f64::from(bytes[image * row + at]);
            byte * f64::from(scale[at % channels]) + f64::from(shift[at % channels])
        };
        (0..row).map(of).collect()
    })
}

/// A pool of images of 9 x 7 pixels; a kernel of 0 is the mean.
#[derive(Clone, Copy)]
struct Pool {
    width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    to: [usize; 2],
}

const FROM: [usize; 2] = [9, 7];
const MAX: Pool = Pool { width: 16, kernel: 3, stride: 2, padding: 1, to: [5, 4] };
const MEAN: Pool = Pool { width: 16, kernel: 0, stride: 1, padding: 0, to: [4, 3] };

pub(crate) fn pool(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let odd = |pool| Pool { width: 5, ..pool };
    [MAX, MEAN, odd(MAX), odd(MEAN)].iter().try_for_each(|pool| pool.solve(kernel, elem))
}

impl Pool {
    fn solve(&self, kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
        let (images, pixels, to_pixels) = (3, FROM[0] * FROM[1], self.to[0] * self.to[1]);
        let mut world = World::new();
        let x = world.matrix(elem, images + 3, pixels * self.width);
        let out = world.matrix(elem, images + 2, to_pixels * self.width);
        let maps = [3, 2].map(|more| world.map(images, images + more));
        let live = world.words(&[images as u32, images as u32]);
        let mut args = vec![P(x.address), P(maps[0].1), P(out.address), P(maps[1].1), P(live)];
        let counts = [FROM[0], FROM[1], self.to[0], self.to[1], self.width];
        let window = [self.kernel, self.stride, self.padding];
        args.extend(counts.into_iter().chain(window).map(|count| U(count as u32)));
        let blocks = (images + 2) * to_pixels * self.width;
        let grid = [(blocks as u32).div_ceil(THREADS), 1, 1];
        world.launch(kernel, [grid, [THREADS, 1, 1]], 0, &args)?;
        out.check(&world, &maps[1].0, elem.rounding(), |image| {
            let x = x.row(maps[0].0[image]);
            (0..to_pixels * self.width).map(|at| self.of(&x, at)).collect()
        })
    }

    fn of(&self, x: &[f64], at: usize) -> f64 {
        let (pixel, channel) = (at / self.width, at % self.width);
        let index = [pixel / self.to[1], pixel % self.to[1]];
        let [lines, columns] = [0, 1].map(|side| match self.kernel {
            0 => {
                let end = ((index[side] + 1) * FROM[side]).div_ceil(self.to[side]);
                index[side] * FROM[side] / self.to[side]..end
            }
            _ => {
                let begin = index[side] * self.stride;
                let end = (begin + self.kernel - self.padding).min(FROM[side]);
                begin.saturating_sub(self.padding)..end
            }
        });
        let count = (lines.len() * columns.len()) as f64;
        let all = lines.flat_map(|line| columns.clone().map(move |c| line * FROM[1] + c));
        let values = all.map(|pixel| x[pixel * self.width + channel]);
        if self.kernel == 0 {
            values.sum::<f64>() / count
        } else {
            values.fold(f64::NEG_INFINITY, f64::max)
        }
    }
}
