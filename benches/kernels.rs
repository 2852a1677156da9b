//! The matrix product against faer's, and what a ramp and a compaction cost at BERT-base size.
//!
//! Results are checked before anything is timed. Weights are packed beforehand, as in a plan;
//! faer packs in every call. Operands are reused from call to call, so small ones come from cache.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use offramp_kernels::cpu::gemm::{Epilogue, PackedMatrix, Residual, Rows, multiply};
use offramp_kernels::cpu::simd::Simd;
use offramp_kernels::cpu::team::Team;
use offramp_kernels::cpu::{CpuDevice, Isa};
use offramp_kernels::{
    Activation, Admission, ArenaLayout, Compact, Decision, Device, ExitId, LiveBound, Pool, Ramp,
    RampHead, RowInput, RowTokens, Score, Span, Token, WeightData, WeightForm, WeightId,
};

/// M, N, K of the layers of MiniLM and BERT-base at 1 and 8 rows of 128 tokens.
const SHAPES: [(usize, usize, usize); 10] = [
    (1, 768, 768),
    (8, 768, 768),
    (128, 384, 384),
    (128, 768, 768),
    (128, 3072, 768),
    (128, 768, 3072),
    (1024, 1536, 384),
    (1024, 768, 768),
    (1024, 3072, 768),
    (1024, 768, 3072),
];

struct Product {
    m: usize,
    n: usize,
    k: usize,
    x: Vec<f32>,
    weight: Vec<f32>,
    packed: PackedMatrix,
    bias: Vec<f32>,
    out: Vec<f32>,
}

impl Product {
    fn new((m, n, k): (usize, usize, usize)) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let mut values = |len: usize| (0..len).map(|_| random.f32() - 0.5).collect::<Vec<f32>>();
        let (x, weight) = (values(m * k), values(n * k));
        let mut packed = PackedMatrix::new(n, k).expect("room for a weight");
        packed.load(0, &weight).expect("whole rows");
        Self { m, n, k, x, weight, packed, bias: vec![0.0; n], out: vec![0.0; m * n] }
    }

    fn ours(&mut self, simd: Simd, team: &mut Team) {
        let rows = Rows { data: &self.x, count: self.m, stride: self.k };
        let (activation, residual) = (Activation::None, Residual::None);
        let epilogue = Epilogue { bias: &self.bias, activation, residual, activates_last: false };
        multiply(simd, team, rows, &self.packed, &epilogue, &mut self.out).expect("fitting sizes");
    }

    fn faer(&mut self) {
        let x = MatRef::from_row_major_slice(&self.x, self.m, self.k);
        let weight = MatRef::from_row_major_slice(&self.weight, self.n, self.k).transpose();
        let out = MatMut::from_row_major_slice_mut(&mut self.out, self.m, self.n);
        matmul(out, Accum::Replace, x, weight, 1.0, Par::Seq);
    }

    fn check(&mut self, simd: Simd, team: &mut Team) {
        self.faer();
        let expected = self.out.clone();
        self.out.fill(f32::NAN);
        self.ours(simd, team);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-3;
        assert!(self.out.iter().zip(&expected).all(close), "the two products differ");
    }
}

fn gemm(criterion: &mut Criterion) {
    let simd = Isa::detect().require().expect("the instruction set just found");
    let mut teams = [1, 2].map(|threads| Team::new(threads).expect("a team"));
    for shape in SHAPES {
        let mut product = Product::new(shape);
        product.check(simd, &mut teams[1]);
        let (m, n, k) = shape;
        let mut group = criterion.benchmark_group(format!("gemm/{m}x{n}x{k}"));
        // One element is one floating-point operation: criterion's Gelem/s are GF/s.
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        group.sample_size(20).warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for team in &mut teams {
            group.bench_function(BenchmarkId::new("packed", team.threads()), |bencher| {
                bencher.iter(|| product.ours(simd, team));
            });
        }
        group.bench_function(BenchmarkId::new("faer", 1), |bencher| {
            bencher.iter(|| product.faer());
        });
    }
}

const WIDTH: usize = 768;
const ROWS: usize = 32;
const ROW_TOKENS: usize = 128;

/// A device with BERT-base activations for 32 x 128 tokens and a ramp of two classes, of which
/// the first row-element decides the confidence.
struct Site {
    device: CpuDevice,
    x: Span,
    tokens: Vec<Token>,
    offsets: Vec<u32>,
    values: Vec<f32>,
}

impl Site {
    fn new() -> Self {
        let tokens = ROWS * ROW_TOKENS;
        let x = Span { at: 0, len: tokens * WIDTH };
        let layout = ArenaLayout {
            rows_max: ROWS,
            tokens_max: tokens,
            row_tokens_max: ROW_TOKENS,
            activations: 2 * x.len,
            exits: 2,
            logits_max: 2,
            features_max: WIDTH,
            weights: vec![WeightForm::Matrix { n: 2, k: WIDTH }, WeightForm::Vector { len: 2 }],
            ..ArenaLayout::default()
        };
        let mut device = CpuDevice::new(2).expect("a device");
        device.reserve(&layout).expect("room");
        let mut head = vec![0.0; 2 * WIDTH];
        head[WIDTH] = 1.0;
        device.load(WeightId(0), 0, WeightData::F32(&head)).expect("a head");
        let offsets = (0..=ROWS).map(|row| (row * ROW_TOKENS) as u32).collect();
        let tokens = vec![Token { id: 0, position: 0, kind: 0 }; tokens];
        // Every other row is sure.
        let even = |i: usize| (i / (ROW_TOKENS * WIDTH)).is_multiple_of(2);
        let values = (0..x.len).map(|i| if even(i) { 9.0 } else { 0.0 }).collect();
        Self { device, x, tokens, offsets, values }
    }

    fn begin(&mut self, threshold: f32) {
        let (tokens, offsets) = (&self.tokens, &self.offsets);
        let (stays, thresholds) = ([false; ROWS], [threshold, 0.0]);
        let (score, thresholds) = (Score::Confidence, &thresholds);
        let (stays, windows) = (&stays, &[]);
        let pass = Admission {
            input: RowInput::Text { tokens, offsets },
            stays,
            windows,
            score,
            thresholds,
        };
        self.device.begin(&pass).expect("a pass");
        self.device.write(self.x, &self.values).expect("a matrix");
    }

    /// Gives the number of rows that got their answer.
    fn ramp(&mut self, pool: Pool) -> usize {
        let head = Some(RampHead {
            weight: WeightId(0),
            bias: WeightId(1),
            classes: 2,
            decision: Decision::Class,
        });
        let (exit, x, width) = (ExitId(0), self.x, WIDTH);
        let ramp =
            Ramp { exit, x, tokens: RowTokens::Own, width, norm: None, pool, hidden: None, head };
        self.device.issue(&ramp.into(), LiveBound::default()).expect("a ramp");
        let mut records = Vec::with_capacity(ROWS);
        self.device.exits(&mut records).expect("records");
        records.iter().filter(|record| record.answers()).count()
    }

    fn compact(&mut self) {
        let compact = Compact { x: self.x, tokens: RowTokens::Own, width: WIDTH };
        self.device.issue(&compact.into(), LiveBound::default()).expect("a compaction");
    }
}

fn site(criterion: &mut Criterion) {
    let mut site = Site::new();
    let mut group = criterion.benchmark_group("site/32x128x768");
    group.sample_size(20).measurement_time(Duration::from_secs(2));
    for (name, pool) in [("ramp-first", Pool::First), ("ramp-mean", Pool::Mean)] {
        site.begin(2.0);
        assert_eq!(site.ramp(pool), 0);
        group.bench_function(name, |bencher| bencher.iter(|| site.ramp(pool)));
    }
    group.bench_function("compact-none-leaves", |bencher| bencher.iter(|| site.compact()));
    group.bench_function("compact-half-leaves", |bencher| {
        bencher.iter_custom(|count| (0..count).map(|_| halve(&mut site)).sum::<Duration>());
    });
}

fn halve(site: &mut Site) -> Duration {
    site.begin(0.9);
    assert_eq!(site.ramp(Pool::First), ROWS / 2);
    let start = std::time::Instant::now();
    site.compact();
    start.elapsed()
}

criterion_group!(benches, gemm, site);
criterion_main!(benches);
