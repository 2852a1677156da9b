//! Matrix products.

use offramp_kernels::{Activation, Linear, LinearNorms, Span, WeightForm, WeightId};

use super::{Start, Suite};
use crate::reference;

/// `out = x · weight + bias`, with `k` inputs and `n` outputs.
pub fn product(x: Span, [weight, bias]: [WeightId; 2], out: Span, [k, n]: [usize; 2]) -> Linear {
    let (activation, norms) = (Activation::None, LinearNorms::default());
    Linear { x, weight, bias, activation, residual: None, out, norms, k, n }
}

/// Where the residual lies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Residual {
    None,
    Apart,
    IsOut,
    IsX,
}

struct Case {
    lens: Vec<usize>,
    k: usize,
    n: usize,
    activation: Activation,
    residual: Residual,
}

impl Case {
    fn new(tokens: usize, k: usize, n: usize) -> Self {
        let (activation, residual) = (Activation::None, Residual::None);
        Self { lens: vec![tokens], k, n, activation, residual }
    }

    fn check(&self, suite: &Suite) {
        let Self { k, n, activation, .. } = *self;
        let mut start = Start::new(&self.lens);
        let (weight, bias) = (start.matrix(n, k), start.vector(n));
        let (x, out, apart) = (start.span(k), start.span(n), start.span(n));
        let residual = match self.residual {
            Residual::None => None,
            Residual::Apart => Some(apart),
            Residual::IsOut => Some(out),
            Residual::IsX => Some(x),
        };
        let mut stage = start.begin(suite);
        stage.poison(out, n);
        let values: Vec<f64> = stage.fill(x, k).into_iter().map(f64::from).collect();
        let added = match residual {
            Some(span) if span == x => stage.read(x, values.len()),
            Some(span) => stage.fill(span, n),
            None => vec![0.0; stage.tokens() * n],
        };
        let plain = product(x, [weight, bias], out, [k, n]);
        stage.issue(Linear { activation, residual, ..plain });
        let mut expected =
            reference::linear(&values, stage.weight(weight), stage.weight(bias), k, activation);
        for (expected, added) in expected.iter_mut().zip(added) {
            *expected += f64::from(added);
        }
        let what = format!("linear {:?} k={k} n={n} {activation}", self.lens);
        suite.tolerance.check(&what, &stage.output(out, n), &expected);
    }
}

/// Ragged and whole tiles in every direction.
pub fn sizes(suite: &Suite) {
    let sizes = [1, 5, 17, 31, 32, 33, 100];
    for tokens in [1, 2, 3, 4, 13, 15, 31, 33, 127] {
        for k in sizes {
            let n = sizes[(tokens + k) % sizes.len()];
            Case::new(tokens, k, n).check(suite);
        }
    }
    for (tokens, k, n) in [(128, 384, 384), (1, 768, 769), (33, 3072, 65), (200, 100, 1)] {
        Case::new(tokens, k, n).check(suite);
    }
}

/// Every activation, on whole and on broken panels.
pub fn activations(suite: &Suite) {
    use Activation::{GeluErf, GeluTanh, None, Relu, Silu, Tanh};
    for activation in [None, GeluErf, GeluTanh, Relu, Tanh, Silu] {
        for n in [31, 64] {
            Case { activation, ..Case::new(33, 17, n) }.check(suite);
        }
    }
}

/// The residual apart, in the output's own place, and in the input's.
pub fn residuals(suite: &Suite) {
    for residual in [Residual::Apart, Residual::IsOut, Residual::IsX] {
        for size in [33, 384] {
            let activation = Activation::GeluErf;
            Case { residual, activation, ..Case::new(31, size, size) }.check(suite);
        }
    }
}

/// A weight that comes in pieces is the weight that comes whole.
pub fn loads_in_parts(suite: &Suite) {
    let (k, n) = (37, 70);
    let outputs = |cuts: &[usize]| {
        let mut start = Start::new(&[9]);
        let values = super::stage::uneven(&mut start.random, n * k);
        let weight = start.weight(WeightForm::Matrix { n, k }, vec![0.0; n * k]);
        let bias = start.vector(n);
        let (x, out) = (start.span(k), start.span(n));
        let mut stage = start.begin(suite);
        for rows in cuts.windows(2) {
            let part = &values[rows[0] * k..rows[1] * k];
            stage.device.load(weight, rows[0], part.into()).expect("rows within the weight");
        }
        stage.fill(x, k);
        stage.issue(product(x, [weight, bias], out, [k, n]));
        stage.output(out, n)
    };
    assert_eq!(outputs(&[0, 70]), outputs(&[0, 1, 31, 33, 64, 70]));
}
