//! Layer norms that products and ramps take over.

use offramp_kernels::{
    Activation, ExitId, Linear, LinearNorms, LiveBound, MomentsId, Normalised, Op, Pool, Ramp,
    RowSlot, RowTokens, Span, Standardised, WeightForm, WeightId,
};

use super::{Stage, Start, Suite, Tolerance};
use crate::reference;

const EPS: f32 = 1e-5;
const FIRST: MomentsId = MomentsId(0);
const SECOND: MomentsId = MomentsId(1);

/// Two products in a row that leave their norm to their readers, as in an encoder's layer: the
/// second adds the first in its place.
struct Chain {
    /// Inputs, elements of the value between, and outputs of its readers.
    k: usize,
    width: usize,
    n: usize,
    x: Span,
    y: Span,
    out: Span,
    /// Weight and bias: of the two products, and of their readers.
    into_y: [(WeightId, WeightId); 2],
    from_y: (WeightId, WeightId),
    scale: WeightId,
    shift: WeightId,
    eps: f32,
}

impl Chain {
    fn new(start: &mut Start, [k, width, n]: [usize; 3]) -> Self {
        start.layout.moments = vec![width; 2];
        start.layout.logits_max = start.layout.logits_max.max(width);
        let mut dense = |n: usize, k: usize| (start.matrix(n, k), start.vector(n));
        let into_y = [dense(width, k), dense(width, k)];
        let from_y = dense(n, width);
        let (scale, shift) = (start.vector(width), start.vector(width));
        let (x, y, out) = (start.aligned(k), start.aligned(width), start.aligned(n));
        Self { k, width, n, x, y, out, into_y, from_y, scale, shift, eps: EPS }
    }

    fn norm(&self, moments: MomentsId) -> Normalised {
        let standard = Standardised { moments, eps: self.eps };
        Normalised { standard, scale: self.scale, shift: self.shift }
    }

    /// `y = x · W + b`, then `y = x · W + b + norm(y)`.
    fn product_into_y(&self, index: usize) -> Linear {
        let is_second = index == 1;
        let (weight, bias) = self.into_y[index];
        let norms = LinearNorms {
            x: None,
            residual: is_second.then(|| self.norm(FIRST)),
            out: Some([FIRST, SECOND][index]),
        };
        Linear {
            x: self.x,
            weight,
            bias,
            activation: Activation::None,
            residual: is_second.then_some(self.y),
            out: self.y,
            norms,
            k: self.k,
            n: self.width,
        }
    }

    fn product_of_y(&self, moments: MomentsId, activation: Activation) -> Linear {
        let (weight, bias) = self.from_y;
        let norms = LinearNorms { x: Some(self.norm(moments).standard), ..LinearNorms::default() };
        Linear {
            x: self.y,
            weight,
            bias,
            activation,
            residual: None,
            out: self.out,
            norms,
            k: self.width,
            n: self.n,
        }
    }

    /// A ramp that gives out its features.
    fn ramp(&self, exit: u32, pool: Pool, moments: MomentsId) -> Ramp {
        Ramp {
            exit: ExitId(exit),
            x: self.y,
            tokens: RowTokens::Own,
            width: self.width,
            norm: Some(self.norm(moments)),
            pool,
            hidden: None,
            head: None,
        }
    }

    fn check_product(&self, suite: &Suite, stage: &mut Stage, moments: MomentsId) {
        let y: Vec<f64> = numbers(stage.read(self.y, stage.tokens() * self.width));
        let (ones, zeros) = (vec![1.0; self.width], vec![0.0; self.width]);
        let standard = reference::norm(&y, &ones, &zeros, self.eps);
        for activation in [Activation::None, Activation::GeluErf] {
            stage.poison(self.out, self.n);
            stage.issue(self.product_of_y(moments, activation));
            let (weight, bias) = (stage.weight(self.from_y.0), stage.weight(self.from_y.1));
            let expected = reference::linear(&standard, weight, bias, self.width, activation);
            let what = format!("{} x {} behind a norm, {activation}", self.n, self.width);
            suite.tolerance.check(&what, &stage.output(self.out, self.n), &expected);
        }
    }

    fn check_residual(&self, suite: &Suite, stage: &mut Stage, x: &[f64]) {
        let before: Vec<f64> = numbers(stage.read(self.y, stage.tokens() * self.width));
        let scale = stage.weight(self.scale);
        let added = reference::norm(&before, scale, stage.weight(self.shift), self.eps);
        stage.issue(self.product_into_y(1));
        let (weight, bias) = self.into_y[1];
        let (weight, bias) = (stage.weight(weight), stage.weight(bias));
        let products = reference::linear(x, weight, bias, self.k, Activation::None);
        let expected: Vec<f64> = products.iter().zip(&added).map(|(a, b)| a + b).collect();
        let what = format!("{} x {} + a residual behind its norm", self.width, self.k);
        suite.tolerance.check(&what, &stage.output(self.y, self.width), &expected);
    }

    fn check_ramps(&self, tolerance: Tolerance, stage: &mut Stage, moments: MomentsId) {
        let y: Vec<f64> = numbers(stage.read(self.y, stage.tokens() * self.width));
        let normed =
            reference::norm(&y, stage.weight(self.scale), stage.weight(self.shift), self.eps);
        for (exit, pool) in [(0, Pool::First), (1, Pool::Mean), (2, Pool::Last)] {
            stage.issue(self.ramp(exit, pool, moments));
            stage.exits();
            let expected = reference::pool(&normed, stage.lens(), self.width, pool);
            for (slot, expected) in expected.chunks_exact(self.width).enumerate() {
                let found = stage.device.logits(ExitId(exit), RowSlot(slot as u32));
                tolerance.check("features behind a norm", found, expected);
            }
        }
    }
}

fn numbers(values: Vec<f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}

/// Whether the device takes norms over; where it does not, it says so and goes on.
fn takes_norms(suite: &Suite) -> bool {
    if suite.device().preferences().takes_norms {
        return true;
    }
    let mut start = Start::new(&[1]);
    let chain = Chain::new(&mut start, [8, 8, 8]);
    let mut stage = start.begin(suite);
    stage.fill(chain.x, chain.k);
    let bound = LiveBound { rows: 1, tokens: 1 };
    for op in [Op::from(chain.product_into_y(0)), chain.ramp(0, Pool::First, FIRST).into()] {
        let error = stage.device.issue(&op, bound).expect_err("no norms here").to_string();
        assert!(error.contains("before its norm"), "{error}");
    }
    stage.issue(Linear { norms: LinearNorms::default(), ..chain.product_into_y(0) });
    stage.device.finish().expect("the device goes on");
    false
}

/// Whole blocks of columns and broken ones, one tile and many.
pub fn chains(suite: &Suite) {
    if !takes_norms(suite) {
        return;
    }
    let sizes = [[8, 8, 8], [24, 64, 40], [64, 72, 33], [40, 200, 136], [128, 768, 72]];
    for lens in [vec![1], vec![3, 31, 1], vec![127, 70]] {
        for sizes in sizes {
            let mut start = Start::new(&lens);
            let chain = Chain::new(&mut start, sizes);
            let mut stage = start.begin(suite);
            let x: Vec<f64> = numbers(stage.fill(chain.x, chain.k));
            stage.issue(chain.product_into_y(0));
            chain.check_product(suite, &mut stage, FIRST);
            chain.check_residual(suite, &mut stage, &x);
            chain.check_product(suite, &mut stage, SECOND);
            chain.check_ramps(suite.tolerance, &mut stage, SECOND);
        }
    }
}

/// Rows whose elements are all equal, or nearly: the norm of the first is 0, and rounding must not
/// be taken for spread.
pub fn flat_rows(suite: &Suite) {
    if !takes_norms(suite) {
        return;
    }
    for (mean, spread) in [(1.1, 0.0), (-1234.567, 0.0), (8.0, 0.02)] {
        let mut start = Start::new(&[5, 40]);
        let mut chain = Chain::new(&mut start, [64, 768, 72]);
        let weight: Vec<f32> =
            super::stage::uneven(&mut start.random, 768 * 64).iter().map(|w| w * spread).collect();
        let weight = start.weight(WeightForm::Matrix { n: 768, k: 64 }, weight);
        let bias = start.weight(WeightForm::Vector { len: 768 }, vec![mean; 768]);
        (chain.into_y[0], chain.eps) = ((weight, bias), 1e-12);
        let mut stage = start.begin(suite);
        stage.fill(chain.x, chain.k);
        stage.issue(chain.product_into_y(0));
        chain.check_product(suite, &mut stage, FIRST);
    }
}

/// Elements that differ by a few units of their last place are a spread, however small, not
/// rounding.
pub fn nearly_flat_rows(suite: &Suite) {
    if !takes_norms(suite) {
        return;
    }
    let is_f32 = suite.tolerance == Tolerance::TF32;
    let (mean, step) = (1000.0, if is_f32 { 1000.0 * 2_f32.powi(-19) } else { 8.0 });
    let mut start = Start::new(&[5, 40]);
    let mut chain = Chain::new(&mut start, [64, 768, 72]);
    let weight = start.weight(WeightForm::Matrix { n: 768, k: 64 }, vec![0.0; 768 * 64]);
    let bias = (0..768).map(|i| mean + step * (i % 2) as f32).collect();
    let bias = start.weight(WeightForm::Vector { len: 768 }, bias);
    (chain.into_y[0], chain.eps) = ((weight, bias), 1e-12);
    let mut stage = start.begin(suite);
    stage.fill(chain.x, chain.k);
    stage.issue(chain.product_into_y(0));
    // The mean itself is rounded, to a good part of such a spread.
    chain.check_ramps(Tolerance { abs: 0.1, rel: 0.1 }, &mut stage, FIRST);
}

/// Tables that are not there, of another width, or read and written at once.
pub fn malformed(suite: &Suite) {
    if !takes_norms(suite) {
        return;
    }
    let mut start = Start::new(&[2]);
    let chain = Chain::new(&mut start, [8, 16, 24]);
    let mut stage = start.begin(suite);
    stage.fill(chain.x, chain.k);
    stage.issue(chain.product_into_y(0));
    let good = chain.product_into_y(1);
    let with = |norms: LinearNorms| Linear { norms, ..good.clone() };
    let no_table = LinearNorms { out: Some(MomentsId(2)), ..good.norms };
    let both = LinearNorms { x: Some(chain.norm(FIRST).standard), ..good.norms };
    let same = LinearNorms { out: Some(FIRST), ..good.norms };
    let of_x = LinearNorms { x: both.x, ..LinearNorms::default() };
    let bad: [Op; 7] = [
        Linear { activation: Activation::Relu, ..good.clone() }.into(),
        with(no_table).into(),
        with(both).into(),
        with(same).into(),
        Linear { residual: None, ..with(of_x) }.into(),
        Linear { residual: None, ..good.clone() }.into(),
        Ramp { norm: Some(chain.norm(MomentsId(7))), ..chain.ramp(0, Pool::First, FIRST) }.into(),
    ];
    for op in bad {
        let bound = LiveBound { rows: 1, tokens: 2 };
        assert!(stage.device.issue(&op, bound).is_err(), "{op}");
    }
    stage.issue(good);
    stage.device.finish().expect("the device goes on");
}
