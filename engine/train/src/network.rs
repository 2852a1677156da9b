//! The arithmetic of a ramp's head while it learns: one linear layer, or two with a ReLU between.
//!
//! Everything is row-major and works on tiles of rows, so that a row of weights is read once for
//! a tile and the inner loops (dot and axpy over contiguous slices) vectorise.

use offramp::scores::sigmoid;

/// A dense layer, `y = W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Length of `y`.
    pub outputs: usize,
    /// Length of `x`.
    pub inputs: usize,
    /// `[outputs, inputs]`, row-major.
    pub weight: Vec<f32>,
    /// `[outputs]`.
    pub bias: Vec<f32>,
}

/// Rows handled together: 8 rows of 768 features stay in a first-level cache.
const TILE: usize = 8;

impl Layer {
    /// A layer of zeros.
    pub(crate) fn zeros(outputs: usize, inputs: usize) -> Self {
        Self { outputs, inputs, weight: vec![0.0; outputs * inputs], bias: vec![0.0; outputs] }
    }

    /// He initialisation for a layer that feeds a ReLU: uniform with variance 2 / inputs.
    /// (He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015.)
    pub(crate) fn he(outputs: usize, inputs: usize, rng: &mut fastrand::Rng) -> Self {
        let bound = (6.0 / inputs as f32).sqrt();
        let mut layer = Self::zeros(outputs, inputs);
        layer.weight.iter_mut().for_each(|w| *w = bound * (2.0 * rng.f32() - 1.0));
        layer
    }

    /// `out[rows, outputs] = x[rows, inputs] Wᵀ + b`; the number of rows follows from `out`.
    pub(crate) fn forward(&self, x: &[f32], out: &mut [f32]) {
        let tiles = out.chunks_mut(TILE * self.outputs).zip(x.chunks(TILE * self.inputs));
        for (out, x) in tiles {
            let weights = self.weight.chunks_exact(self.inputs).zip(&self.bias);
            for (o, (weights, bias)) in weights.enumerate() {
                for (out, x) in out.chunks_mut(self.outputs).zip(x.chunks_exact(self.inputs)) {
                    out[o] = bias + dot(weights, x);
                }
            }
        }
    }

    /// Multiplies weights and biases by `factor`, as a temperature of `1 / factor` does.
    pub(crate) fn scale(&mut self, factor: f32) {
        self.weight.iter_mut().chain(&mut self.bias).for_each(|w| *w *= factor);
    }

    /// Adds to this layer, taken as a gradient, what `delta[rows, outputs]` at the outputs and
    /// `x[rows, inputs]` at the inputs contribute.
    fn accumulate(&mut self, delta: &[f32], x: &[f32]) {
        let tiles = delta.chunks(TILE * self.outputs).zip(x.chunks(TILE * self.inputs));
        for (delta, x) in tiles {
            let weights = self.weight.chunks_exact_mut(self.inputs).zip(&mut self.bias);
            for (o, (weights, bias)) in weights.enumerate() {
                for (delta, x) in delta.chunks(self.outputs).zip(x.chunks_exact(self.inputs)) {
                    axpy(delta[o], x, weights);
                    *bias += delta[o];
                }
            }
        }
    }

    /// `dx[rows, inputs] = delta[rows, outputs] W`.
    fn backward(&self, delta: &[f32], dx: &mut [f32]) {
        dx.fill(0.0);
        for (delta, dx) in delta.chunks(self.outputs).zip(dx.chunks_exact_mut(self.inputs)) {
            for (weights, &delta) in self.weight.chunks_exact(self.inputs).zip(delta) {
                axpy(delta, weights, dx);
            }
        }
    }

    fn clear(&mut self) {
        self.weight.fill(0.0);
        self.bias.fill(0.0);
    }
}

/// A ramp's head: `head(relu(hidden(x)))`, or `head(x)` without a hidden layer.
/// Also the shape of its gradient.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Network {
    /// The layer before the ReLU, in a two-layer head.
    pub(crate) hidden: Option<Layer>,
    /// The layer that gives one logit for each class.
    pub(crate) head: Layer,
}

impl Network {
    /// A network ready to learn. The head starts at zero: a linear head is a convex problem, where
    /// the start does not matter, and above a He-initialised hidden layer it starts at "no idea".
    pub(crate) fn new(
        width: usize,
        hidden: Option<usize>,
        classes: usize,
        rng: &mut fastrand::Rng,
    ) -> Self {
        Self {
            hidden: hidden.map(|units| Layer::he(units, width, rng)),
            head: Layer::zeros(classes, hidden.unwrap_or(width)),
        }
    }

    /// An all-zero network of the same shape: the start of a gradient.
    pub(crate) fn zeros_like(&self) -> Self {
        let zeros = |layer: &Layer| Layer::zeros(layer.outputs, layer.inputs);
        Self { hidden: self.hidden.as_ref().map(zeros), head: zeros(&self.head) }
    }

    /// The layer that reads the features.
    pub(crate) fn first_mut(&mut self) -> &mut Layer {
        self.hidden.as_mut().unwrap_or(&mut self.head)
    }

    /// Logits of `rows` feature rows: `x[rows, width]` to `[rows, classes]`.
    pub(crate) fn logits(&self, x: &[f32], rows: usize) -> Vec<f32> {
        let mut buffers = Buffers::new(self, rows);
        buffers.forward(self, x, rows);
        buffers.logits
    }
}

/// What a batch needs between its forward and backward half, allocated once.
#[derive(Debug)]
pub(crate) struct Buffers {
    activations: Vec<f32>,
    activations_delta: Vec<f32>,
    logits: Vec<f32>,
}

impl Buffers {
    /// Room for batches of up to `rows` rows.
    pub(crate) fn new(network: &Network, rows: usize) -> Self {
        let units = network.hidden.as_ref().map_or(0, |layer| layer.outputs);
        Self {
            activations: vec![0.0; rows * units],
            activations_delta: vec![0.0; rows * units],
            logits: vec![0.0; rows * network.head.outputs],
        }
    }

    /// Logits `[rows, classes]` of `x[rows, width]`.
    pub(crate) fn forward(&mut self, network: &Network, x: &[f32], rows: usize) -> &[f32] {
        let logits = &mut self.logits[..rows * network.head.outputs];
        if let Some(hidden) = &network.hidden {
            let activations = &mut self.activations[..rows * hidden.outputs];
            hidden.forward(x, activations);
            activations.iter_mut().for_each(|a| *a = a.max(0.0));
            network.head.forward(activations, logits);
        } else {
            network.head.forward(x, logits);
        }
        logits
    }

    /// Writes to `gradient` the slope of the mean soft cross-entropy against
    /// `targets[rows, classes]`, by `loss`, and returns the summed cross-entropy.
    pub(crate) fn backward(
        &mut self,
        network: &Network,
        x: &[f32],
        (targets, loss): (&[f32], Loss),
        gradient: &mut Network,
    ) -> f64 {
        let classes = network.head.outputs;
        let rows = targets.len() / classes;
        let logits = self.forward(network, x, rows).len();
        let delta = &mut self.logits[..logits];
        let loss = loss.slope(delta, targets, classes);
        gradient.head.clear();
        if let (Some(hidden), Some(slope)) = (&network.hidden, &mut gradient.hidden) {
            let activations = &self.activations[..rows * hidden.outputs];
            gradient.head.accumulate(delta, activations);
            let back = &mut self.activations_delta[..rows * hidden.outputs];
            network.head.backward(delta, back);
            let dead = back.iter_mut().zip(activations).filter(|(_, a)| **a <= 0.0);
            dead.for_each(|(delta, _)| *delta = 0.0);
            slope.clear();
            slope.accumulate(back, x);
        } else {
            gradient.head.accumulate(delta, x);
        }
        loss
    }
}

/// How logits become probabilities, and so what is to be made small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// A softmax over all: `-Σ p ln softmax(logits)`.
    Softmax,
    /// A sigmoid each: `-Σ p ln sigmoid(logit) + (1 - p) ln (1 - sigmoid(logit))`.
    Sigmoid,
}

impl Loss {
    /// Summed cross-entropy of all rows.
    pub(crate) fn sum(self, logits: &[f32], targets: &[f32], classes: usize) -> f64 {
        match self {
            Self::Softmax => {
                let rows = logits.chunks_exact(classes).zip(targets.chunks_exact(classes));
                rows.map(|(x, p)| row_cross_entropy(x, p, log_sum_exp(x))).sum()
            }
            Self::Sigmoid => logits.iter().zip(targets).map(|(x, p)| binary(*x, *p)).sum(),
        }
    }

    /// Turns logits into `(probabilities - targets) / rows` in place; returns the summed
    /// cross-entropy.
    fn slope(self, logits: &mut [f32], targets: &[f32], classes: usize) -> f64 {
        let share = classes as f32 / targets.len() as f32;
        let mut loss = 0.0;
        for (logits, targets) in logits.chunks_exact_mut(classes).zip(targets.chunks_exact(classes))
        {
            let pairs = || targets.iter().copied();
            match self {
                Self::Softmax => {
                    let norm = log_sum_exp(logits);
                    loss += row_cross_entropy(logits, targets, norm);
                    logits.iter_mut().zip(pairs()).for_each(|(x, p)| {
                        *x = ((*x - norm).exp() - p) * share;
                    });
                }
                Self::Sigmoid => logits.iter_mut().zip(pairs()).for_each(|(x, p)| {
                    loss += binary(*x, p);
                    *x = (sigmoid(*x) - p) * share;
                }),
            }
        }
        loss
    }
}

fn row_cross_entropy(logits: &[f32], targets: &[f32], norm: f32) -> f64 {
    logits.iter().zip(targets).map(|(x, p)| f64::from(p * (norm - x))).sum()
}

/// Cross-entropy of one label with probability `p`: `ln (1 + e^x) - p x`, without overflow.
pub(crate) fn binary(x: f32, p: f32) -> f64 {
    f64::from(x.max(0.0) + (-x.abs()).exp().ln_1p() - p * x)
}

/// `ln Σ exp(x)`, with the largest taken out first so that nothing overflows.
pub(crate) fn log_sum_exp(x: &[f32]) -> f32 {
    let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    top + x.iter().map(|x| (x - top).exp()).sum::<f32>().ln()
}

/// The label a row of logits or probabilities stands for: its largest, the first of equals.
pub(crate) fn argmax(x: &[f32]) -> u32 {
    let better =
        |best: (usize, f32), (i, &x): (usize, &f32)| if x > best.1 { (i, x) } else { best };
    x.iter().enumerate().fold((0, f32::NEG_INFINITY), better).0 as u32
}

const LANES: usize = 16;

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum::<f32>();
    for (a, b) in a.zip(b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    rest + sums.iter().sum::<f32>()
}

fn axpy(factor: f32, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, rng: &mut fastrand::Rng) -> Vec<f32> {
        (0..len).map(|_| 2.0 * rng.f32() - 1.0).collect()
    }

    fn parameters(network: &mut Network) -> Vec<&mut f32> {
        let Network { hidden, head } = network;
        let hidden = hidden.iter_mut().flat_map(|l| l.weight.iter_mut().chain(&mut l.bias));
        hidden.chain(head.weight.iter_mut().chain(&mut head.bias)).collect()
    }

    #[test]
    fn dot_and_forward_match_plain_loops_on_ragged_sizes() {
        let mut rng = fastrand::Rng::with_seed(1);
        for (rows, inputs, outputs) in [(1, 1, 2), (7, 15, 3), (8, 16, 1), (19, 33, 5)] {
            let (x, bias) = (noise(rows * inputs, &mut rng), noise(outputs, &mut rng));
            let weight = noise(outputs * inputs, &mut rng);
            let layer = Layer { outputs, inputs, weight, bias };
            let mut out = vec![f32::NAN; rows * outputs];
            layer.forward(&x, &mut out);
            for (i, &y) in out.iter().enumerate() {
                let (row, o) = (i / outputs, i % outputs);
                let sum = |k: usize| {
                    f64::from(layer.weight[o * inputs + k]) * f64::from(x[row * inputs + k])
                };
                let expected = f64::from(layer.bias[o]) + (0..inputs).map(sum).sum::<f64>();
                assert!((f64::from(y) - expected).abs() < 1e-5, "row {row}, output {o}");
            }
        }
    }

    #[test]
    fn gradients_match_finite_differences() {
        let mut rng = fastrand::Rng::with_seed(2);
        let (rows, width, classes) = (11, 9, 3);
        let x = noise(rows * width, &mut rng);
        let mut targets: Vec<f32> = (0..rows * classes).map(|_| rng.f32()).collect();
        for row in targets.chunks_mut(classes) {
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= sum);
        }
        let losses = [Loss::Softmax, Loss::Sigmoid];
        for (hidden, by) in [None, Some(5)].into_iter().flat_map(|h| losses.map(|by| (h, by))) {
            let mut network = Network::new(width, hidden, classes, &mut rng);
            parameters(&mut network).into_iter().for_each(|p| *p += rng.f32() - 0.5);
            let (mut slope, mut buffers) = (network.zeros_like(), Buffers::new(&network, rows));
            buffers.backward(&network, &x, (&targets, by), &mut slope);
            let slope: Vec<f32> = parameters(&mut slope).into_iter().map(|g| *g).collect();
            assert!(slope.iter().any(|g| g.abs() > 0.01));
            for (i, &found) in slope.iter().enumerate() {
                let loss_at = |step: f32| {
                    let mut moved = network.clone();
                    *parameters(&mut moved)[i] += step;
                    by.sum(&moved.logits(&x, rows), &targets, classes) / rows as f64
                };
                let expected = (loss_at(1e-2) - loss_at(-1e-2)) / 2e-2;
                let off = (f64::from(found) - expected).abs();
                assert!(off < 2e-3, "{hidden:?} {by:?} parameter {i}: {found} {expected}");
            }
        }
    }

    #[test]
    fn cross_entropy_of_even_logits_is_the_log_of_the_classes() {
        let targets = [0.1, 0.2, 0.3, 0.4, 1.0, 0.0, 0.0, 0.0];
        let loss = Loss::Softmax.sum(&[5.0; 8], &targets, 4);
        assert!((loss - 2.0 * 4.0_f64.ln()).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn a_label_costs_what_its_sigmoid_says_and_never_overflows() {
        let cases =
            [(0.0, 0.3, 2.0_f64.ln()), (1e4, 1.0, 0.0), (-1e4, 1.0, 1e4), (2.0, 1.0, 0.126_928)];
        for (x, p, expected) in cases {
            assert!((binary(x, p) - expected).abs() < 1e-6 * expected.max(1.0), "{x} {p}");
        }
        assert_eq!(Loss::Sigmoid.sum(&[1e4, -1e4], &[1.0, 0.0], 1), 0.0);
    }

    #[test]
    fn huge_logits_do_not_overflow_and_argmax_takes_the_first_of_equals() {
        assert!((log_sum_exp(&[1e30, 1e30]) - 1e30).abs() <= 1e24);
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[f32::NAN, -4.0]), 1);
    }
}
