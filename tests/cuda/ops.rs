//! The op suite on CUDA: both storage formats, and the large tiles.

use offramp_kernels::cuda::{Elem, gpus};
use offramp_kernels::{Activation, ArenaLayout, Conv2d, Grid};
use offramp_tests::op_suite;
use offramp_tests::suite::{Make, Start, Tolerance, pass};

use crate::{bits, machine};

op_suite!(f16, machine::f16, Tolerance::F16);
op_suite!(bf16, || machine::device(Elem::Bf16), Tolerance::BF16);
op_suite!(wide, machine::wide, Tolerance::F16);
op_suite!(broad, machine::broad, Tolerance::F16);

/// Images of a pass and of the next, each on both sides.
#[test]
fn images_of_two_passes_have_room() {
    let reserved = |row_pixels: usize| {
        let mut device = machine::device(Elem::F16).unwrap();
        let layout = ArenaLayout { rows_max: 6, tokens_max: 6, row_pixels, ..Default::default() };
        device.reserve(&layout).unwrap();
        device.reserved_bytes()
    };
    assert_eq!(reserved(50_000) - reserved(0), 4 * 6 * 50_000);
}

#[test]
fn the_size_of_tiles_changes_no_bit() {
    let run = |make| pass::transcript(&machine::suite(make));
    assert_eq!(run(machine::wide), run(machine::small));
    assert_eq!(run(machine::broad), run(machine::small));
}

/// What a convolution of three images gives.
fn convolved(make: Make) -> Vec<u32> {
    let suite = machine::suite(make);
    let from = Grid { height: 9, width: 7 };
    let (images, inputs, outputs, kernel) = (3, 24, 72, 3);
    let mut start = Start::new(&[1; 3]);
    start.layout.row_pixels = 16;
    let (weight, bias) = (start.matrix(outputs, kernel * kernel * inputs), start.vector(outputs));
    let (wide, size) = (from.pixels() * inputs, from.pixels() * outputs);
    let (x, out) = (start.aligned(wide), start.aligned(size));
    let mut stage = start.begin(&suite);
    let values: Vec<f32> = (0..images * wide).map(|i| (i % 1999) as f32 / 1000.0 - 1.0).collect();
    stage.write(x, &values);
    let (stride, padding, residual, activation) = (1, 1, None, Activation::None);
    stage.issue(Conv2d {
        x,
        from,
        inputs,
        weight,
        bias,
        kernel,
        stride,
        padding,
        residual,
        activation,
        out,
        outputs,
    });
    stage.output(out, size).into_iter().map(f32::to_bits).collect()
}

#[test]
fn the_size_of_tiles_changes_no_bit_of_a_convolution() {
    let [wide, small] = [machine::wide, machine::small].map(convolved);
    assert!(wide == small, "they differ");
}

/// Of a GPU whose way to sum up is not known, the bits are said and compared with nothing.
#[test]
#[expect(clippy::print_stdout, reason = "what such a GPU gives is the report")]
fn tensor_cores_give_the_stored_bits() {
    machine::driver();
    let compute = gpus().unwrap()[0].compute;
    for format in bits::FORMATS {
        match bits::way(compute) {
            Some(way) => bits::check(way, format),
            None => println!("compute capability {compute:?}: {:?}", bits::transcript(format)),
        }
    }
}
