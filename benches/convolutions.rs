//! Convolutions of ResNets on the CPU, each in alternation with the plain product of equal size:
//! what gathering windows costs on top.
//!
//! One element is one floating-point operation: criterion's Gelem/s are GF/s.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use offramp_kernels::cpu::gemm::{Epilogue, PackedMatrix, Residual, Rows, multiply};
use offramp_kernels::cpu::simd::Simd;
use offramp_kernels::cpu::team::Team;
use offramp_kernels::cpu::{CpuDevice, Isa};
use offramp_kernels::{
    Activation, Admission, ArenaLayout, Conv2d, Device, Grid, LiveBound, RowInput, Score, Span,
    WeightForm, WeightId,
};

const THREADS: usize = 2;

/// A convolution of some images.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    images: usize,
    side: usize,
    inputs: usize,
    outputs: usize,
    /// Kernel, stride, padding.
    window: [usize; 3],
}

const fn shape(
    name: &'static str,
    images: usize,
    side: usize,
    (inputs, outputs): (usize, usize),
    window: [usize; 3],
) -> Shape {
    Shape { name, images, side, inputs, outputs, window }
}

const SHAPES: [Shape; 10] = [
    shape("resnet20-16x32", 32, 28, (16, 16), [3, 1, 1]),
    shape("resnet20-32x32", 32, 14, (32, 32), [3, 1, 1]),
    shape("resnet20-64x32", 32, 7, (64, 64), [3, 1, 1]),
    shape("resnet20-64x1", 1, 7, (64, 64), [3, 1, 1]),
    shape("stem7x7x1", 1, 224, (3, 64), [7, 2, 3]),
    shape("resnet50-64x1", 1, 56, (64, 64), [3, 1, 1]),
    shape("resnet50-64to256x1", 1, 56, (64, 256), [1, 1, 0]),
    shape("resnet50-256x1", 1, 14, (256, 256), [3, 1, 1]),
    shape("resnet50-512x1", 1, 7, (512, 512), [3, 1, 1]),
    shape("resnet50-512x8", 8, 7, (512, 512), [3, 1, 1]),
];

/// A device with one convolution, and the product of as many multiplications.
struct Case {
    device: CpuDevice,
    op: Conv2d,
    rows: usize,
    images: usize,
    x: Vec<f32>,
    packed: PackedMatrix,
    out: Vec<f32>,
}

impl Case {
    fn new(shape: Shape) -> Self {
        let [kernel, stride, padding] = shape.window;
        let Shape { images, inputs, outputs, side, .. } = shape;
        let from = Grid { height: side, width: side };
        let to = from.windows(kernel, stride, padding);
        let (wide, size) = (images * from.pixels() * inputs, images * to.pixels() * outputs);
        let (x, out) =
            (Span { at: 0, len: wide }, Span { at: wide.next_multiple_of(32), len: size });
        let op = Conv2d {
            x,
            from,
            inputs,
            weight: WeightId(0),
            bias: WeightId(1),
            kernel,
            stride,
            padding,
            residual: None,
            activation: Activation::Relu,
            out,
            outputs,
        };
        let mut random = fastrand::Rng::with_seed(1);
        let mut values = |len: usize| (0..len).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
        let (weight, rows) = (values(outputs * op.k()), images * to.pixels());
        let mut packed = PackedMatrix::new(outputs, op.k()).expect("room for a weight");
        packed.load(0, &weight).expect("whole rows");
        let device = device(&op, images, &weight, &values(wide));
        let x = values(rows * op.k());
        Self { device, op, rows, images, x, packed, out: vec![0.0; size] }
    }

    fn convolve(&mut self) {
        let bound = LiveBound { rows: self.images, tokens: self.images };
        self.device.issue(&self.op.clone().into(), bound).expect("a convolution");
    }

    fn product(&mut self, simd: Simd, team: &mut Team) {
        let rows = Rows { data: &self.x, count: self.rows, stride: self.op.k() };
        let (activation, residual) = (Activation::Relu, Residual::None);
        let bias = &vec![0.0; self.op.outputs];
        let epilogue = Epilogue { bias, activation, residual, activates_last: false };
        multiply(simd, team, rows, &self.packed, &epilogue, &mut self.out).expect("fitting sizes");
    }
}

fn device(op: &Conv2d, images: usize, weight: &[f32], x: &[f32]) -> CpuDevice {
    let layout = ArenaLayout {
        rows_max: images,
        row_pixels: 1,
        activations: op.out.end(),
        exits: 1,
        logits_max: 1,
        features_max: 1,
        weights: vec![
            WeightForm::Matrix { n: op.outputs, k: op.k() },
            WeightForm::Vector { len: op.outputs },
        ],
        ..ArenaLayout::default()
    };
    let mut device = CpuDevice::new(THREADS).expect("a device");
    device.reserve(&layout).expect("room");
    device.load(WeightId(0), 0, weight.into()).expect("a weight");
    let pass = Admission {
        input: RowInput::Images(&vec![0; images]),
        stays: &vec![true; images],
        windows: &[],
        score: Score::Confidence,
        thresholds: &[0.0],
    };
    device.begin(&pass).expect("a pass");
    device.write(op.x, x).expect("a map");
    device
}

fn convolutions(criterion: &mut Criterion) {
    let simd = Isa::detect().require().expect("the instruction set just found");
    let mut team = Team::new(THREADS).expect("a team");
    for shape in SHAPES {
        let mut case = Case::new(shape);
        let mut group = criterion.benchmark_group(format!("convolution/{}", shape.name));
        let flops = 2 * case.rows * case.op.outputs * case.op.k();
        group.throughput(Throughput::Elements(flops as u64));
        group.sample_size(20).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        group.bench_function(BenchmarkId::new("convolution", THREADS), |bencher| {
            bencher.iter(|| case.convolve());
        });
        group.bench_function(BenchmarkId::new("product", THREADS), |bencher| {
            bencher.iter(|| case.product(simd, &mut team));
        });
    }
}

criterion_group!(benches, convolutions);
criterion_main!(benches);
