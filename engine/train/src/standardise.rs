//! Features brought to mean 0 and spread 1 for training, and the same map folded into the first
//! layer afterwards, so that serving sees raw features and pays nothing.

use crate::network::Layer;

/// `x -> (x - mean) * scale`, one pair for each feature; `scale` is 0 for a dead feature.
#[derive(Debug, Clone)]
pub(crate) struct Standardiser {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

/// A feature whose spread is below this share of its mean holds rounding noise only (f32 keeps
/// about seven digits): it is dead, and its weight is exactly zero.
const SPREAD_MIN: f64 = 1e-6;

impl Standardiser {
    /// Mean and standard deviation of every column of `values` (`[_, width]`, row-major) over
    /// `rows`, in f64 and two passes so that a large offset costs no digits.
    pub(crate) fn measure(values: &[f32], width: usize, rows: &[u32]) -> Self {
        let count = rows.len().max(1) as f64;
        let mut mean = vec![0.0; width];
        each_row(values, width, rows, |row| {
            mean.iter_mut().zip(row).for_each(|(m, &x)| *m += f64::from(x));
        });
        mean.iter_mut().for_each(|m| *m /= count);
        let mut square = vec![0.0; width];
        each_row(values, width, rows, |row| {
            let centred = row.iter().zip(&mean).map(|(&x, &m)| f64::from(x) - m);
            square.iter_mut().zip(centred).for_each(|(s, d)| *s += d * d);
        });
        let scale = square.iter().zip(&mean).map(|(&s, &m)| scale(m, (s / count).sqrt())).collect();
        Self { mean, scale }
    }

    /// The standardised copies of `rows`, `[rows.len(), width]` row-major.
    pub(crate) fn apply(&self, values: &[f32], rows: &[u32]) -> Vec<f32> {
        let width = self.mean.len();
        let mut out = Vec::with_capacity(rows.len() * width);
        each_row(values, width, rows, |row| {
            let map = self.mean.iter().zip(&self.scale);
            out.extend(row.iter().zip(map).map(|(&x, (m, s))| ((f64::from(x) - m) * s) as f32));
        });
        out
    }

    /// Rewrites a layer trained on standardised features into the equal layer for raw ones:
    /// `W (x - m) s + b = (W s) x + (b - W s m)`. The bias uses the rounded weights, so that the
    /// two stay equal where offsets are large.
    pub(crate) fn fold(&self, layer: &mut Layer) {
        for (weights, bias) in layer.weight.chunks_exact_mut(layer.inputs).zip(&mut layer.bias) {
            let mut shift = 0.0;
            for (w, (m, s)) in weights.iter_mut().zip(self.mean.iter().zip(&self.scale)) {
                *w = (f64::from(*w) * s) as f32;
                shift += f64::from(*w) * m;
            }
            *bias = (f64::from(*bias) - shift) as f32;
        }
    }
}

fn scale(mean: f64, spread: f64) -> f64 {
    let live = spread > SPREAD_MIN * mean.abs() && spread > f64::from(f32::MIN_POSITIVE);
    if live { 1.0 / spread } else { 0.0 }
}

fn each_row<'a>(values: &'a [f32], width: usize, rows: &[u32], mut visit: impl FnMut(&'a [f32])) {
    for &row in rows {
        let start = row as usize * width;
        visit(&values[start..start + width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: [u32; 4] = [0, 1, 2, 3];

    #[test]
    fn columns_get_mean_zero_and_spread_one() {
        let values = [1.0, 10_000.0, 3.0, 11_000.0, 5.0, 12_000.0, 7.0, 13_000.0];
        let out = Standardiser::measure(&values, 2, &ROWS).apply(&values, &ROWS);
        for column in 0..2 {
            let x: Vec<f32> = out.iter().skip(column).step_by(2).copied().collect();
            let square: f32 = x.iter().map(|x| x * x).sum();
            assert!(x.iter().sum::<f32>().abs() < 1e-5 && (square - 4.0).abs() < 1e-5, "{x:?}");
        }
    }

    #[test]
    fn dead_features_become_zero_and_get_zero_weight() {
        // Column 0 is constant, column 1 differs by one unit in the last place.
        let values = [5.0, 1e6, 1.0, 5.0, 1e6, 2.0, 5.0, 1e6 + 0.0625, 3.0, 5.0, 1e6, 4.0];
        let standardiser = Standardiser::measure(&values, 3, &ROWS);
        let out = standardiser.apply(&values, &ROWS);
        assert!(
            out.chunks(3).all(|row| row[0] == 0.0 && row[1] == 0.0 && row[2] != 0.0),
            "{out:?}"
        );
        let mut layer =
            Layer { outputs: 1, inputs: 3, weight: vec![4.0, 4.0, 4.0], bias: vec![1.0] };
        standardiser.fold(&mut layer);
        assert_eq!(layer.weight[..2], [0.0, 0.0]);
    }

    #[test]
    fn only_the_named_rows_count() {
        let values = [1.0, 3.0, f32::MAX, -500.0];
        let standardiser = Standardiser::measure(&values, 1, &[0, 1]);
        assert_eq!(standardiser.apply(&values, &[0, 1]), [-1.0, 1.0]);
    }

    #[test]
    fn a_folded_layer_equals_the_layer_after_standardising() {
        let mut rng = fastrand::Rng::with_seed(3);
        let (width, rows) = (37, 50);
        let values: Vec<f32> = (0..width * rows).map(|_| 1e4 + 1e3 * rng.f32()).collect();
        let weight: Vec<f32> = (0..2 * width).map(|_| rng.f32() - 0.5).collect();
        let mut layer = Layer { outputs: 2, inputs: width, weight, bias: vec![0.3, -0.7] };
        let all: Vec<u32> = (0..rows as u32).collect();
        let standardiser = Standardiser::measure(&values, width, &all);
        let (mut before, mut after) = (vec![0.0; 2 * rows], vec![0.0; 2 * rows]);
        layer.forward(&standardiser.apply(&values, &all), &mut before);
        standardiser.fold(&mut layer);
        layer.forward(&values, &mut after);
        for (a, b) in before.iter().zip(&after) {
            assert!((a - b).abs() < 2e-3, "{a} {b}");
        }
        assert!(before.iter().any(|&x| x.abs() > 0.5), "the case is too flat to tell");
    }
}
