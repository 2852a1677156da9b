//! Attention within rows.

use offramp_kernels::Attention;

use super::{Start, Suite};
use crate::reference;

/// Mixed lengths, heads of many sizes.
pub fn lengths(suite: &Suite) {
    for (lens, heads, head_dim) in [
        (vec![1], 1, 8),
        (vec![1, 2, 31, 7], 3, 16),
        (vec![33, 1, 127, 32], 2, 32),
        (vec![512, 1], 1, 64),
        (vec![65, 13], 2, 64),
        (vec![40, 9], 1, 100),
        (vec![14, 28, 3], 5, 1),
    ] {
        check(suite, &lens, heads, head_dim, 1.0);
    }
}

/// Scores far beyond what `e^x` can hold.
pub fn large_scores(suite: &Suite) {
    check(suite, &[17, 33], 2, 16, 30.0);
}

fn check(suite: &Suite, lens: &[usize], heads: usize, head_dim: usize, gain: f32) {
    let width = heads * head_dim;
    let mut start = Start::new(lens);
    let (qkv, out) = (start.span(3 * width), start.span(width));
    let mut stage = start.begin(suite);
    stage.poison(out, width);
    let mut values = stage.fill(qkv, 3 * width);
    // Queries alone: values stay near 1, scores grow.
    for token in values.chunks_exact_mut(3 * width) {
        token[..width].iter_mut().for_each(|q| *q *= gain);
    }
    stage.write(qkv, &values);
    stage.issue(Attention { qkv, out, heads, head_dim });
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let expected = reference::attention(&values, lens, heads, head_dim);
    let what = format!("attention {lens:?} {heads}x{head_dim}");
    suite.tolerance.check(&what, &stage.output(out, width), &expected);
}
