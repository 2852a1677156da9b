//! Weights in every representation.

use half::{bf16, f16};
use offramp_kernels::{Activation, Linear, LinearNorms, Span, WeightData, WeightForm, WeightId};

use super::stage::uneven;
use super::{Stage, Start, Suite};

const ROWS: usize = 70;
const WIDTH: usize = 48;

/// A weight of `ROWS` x `WIDTH` in one representation, and the numbers that it stands for.
enum Given {
    Halves(Vec<f16>),
    Bfloats(Vec<bf16>),
    Whole(Vec<i8>, Vec<f32>),
}

impl Given {
    fn all(values: &[f32]) -> [Self; 3] {
        let scales: Vec<f32> = (0..ROWS).map(|row| 0.001 * (1 + row % 5) as f32).collect();
        let whole = values.iter().map(|value| (value * 100.0).clamp(-127.0, 127.0) as i8);
        [
            Self::Halves(values.iter().map(|value| f16::from_f32(*value)).collect()),
            Self::Bfloats(values.iter().map(|value| bf16::from_f32(*value)).collect()),
            Self::Whole(whole.collect(), scales),
        ]
    }

    /// Rows `first .. end`.
    fn rows(&self, first: usize, end: usize) -> WeightData<'_> {
        let range = first * WIDTH..end * WIDTH;
        match self {
            Self::Halves(values) => WeightData::F16(&values[range]),
            Self::Bfloats(values) => WeightData::Bf16(&values[range]),
            Self::Whole(values, scales) => {
                WeightData::Int8 { values: &values[range], scales: &scales[first..end] }
            }
        }
    }

    fn numbers(&self) -> Vec<f64> {
        match self {
            Self::Halves(values) => values.iter().map(|value| value.to_f64()).collect(),
            Self::Bfloats(values) => values.iter().map(|value| value.to_f64()).collect(),
            Self::Whole(values, scales) => {
                let scales = scales.iter().flat_map(|scale| [f64::from(*scale); WIDTH]);
                values.iter().zip(scales).map(|(value, scale)| f64::from(*value) * scale).collect()
            }
        }
    }

    /// In two parts, the second first.
    fn load(&self, stage: &mut Stage, weight: WeightId) {
        for (first, end) in [(33, ROWS), (0, 33)] {
            let loaded = stage.device.load(weight, first, self.rows(first, end));
            loaded.unwrap_or_else(|error| panic!("load: {error}"));
        }
    }
}

/// A product with a matrix that came as halves or as whole numbers.
pub fn matrices(suite: &Suite) {
    let mut start = Start::new(&[9]);
    let values: Vec<f32> =
        uneven(&mut start.random, ROWS * WIDTH).into_iter().map(|value| value / 8.0).collect();
    let matrix = start.weight(WeightForm::Matrix { n: ROWS, k: WIDTH }, vec![0.0; values.len()]);
    let bias = start.weight(WeightForm::Vector { len: ROWS }, vec![0.25; ROWS]);
    let (x, out) = (start.aligned(WIDTH), start.aligned(ROWS));
    let mut stage = start.begin(suite);
    let tokens = stage.fill(x, WIDTH);
    for given in Given::all(&values) {
        given.load(&mut stage, matrix);
        stage.issue(product(x, [matrix, bias], out));
        let numbers = given.numbers();
        let outputs = |x| numbers.chunks(WIDTH).map(move |row| 0.25 + dot(x, row));
        let expected: Vec<f64> = tokens.chunks(WIDTH).flat_map(outputs).collect();
        suite.tolerance.check("a matrix", &stage.output(out, ROWS), &expected);
    }
}

fn dot(x: &[f32], row: &[f64]) -> f64 {
    x.iter().zip(row).map(|(x, w)| f64::from(*x) * w).sum()
}

fn product(x: Span, [weight, bias]: [WeightId; 2], out: Span) -> Linear {
    Linear {
        x,
        weight,
        bias,
        activation: Activation::None,
        residual: None,
        out,
        norms: LinearNorms::default(),
        k: WIDTH,
        n: ROWS,
    }
}

/// Whole numbers need a scale for each row, and rows must be whole in every representation.
pub fn malformed(suite: &Suite) {
    let mut start = Start::new(&[1]);
    let matrix = start.weight(WeightForm::Matrix { n: 2, k: 3 }, vec![0.0; 6]);
    let mut stage = start.begin(suite);
    let mut load = |data| stage.device.load(matrix, 0, data);
    assert!(load(WeightData::Int8 { values: &[1; 6], scales: &[1.0] }).is_err());
    assert!(load(WeightData::Int8 { values: &[1; 6], scales: &[1.0; 2] }).is_ok());
    assert!(load(WeightData::F16(&[f16::ONE; 5])).is_err());
    assert!(load(WeightData::Bf16(&[bf16::ONE; 9])).is_err());
}
