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
        (vec![70, 3], 2, 96),
        (vec![130, 1], 1, 128),
        (vec![14, 28, 3], 5, 1),
    ] {
        check(suite, &lens, heads, head_dim, None);
    }
}

/// Scores far beyond what `e^x` can hold.
pub fn large_scores(suite: &Suite) {
    for shift in [-400.0, 400.0] {
        check(suite, &[17, 33], 2, 16, Some(shift));
    }
}

fn check(suite: &Suite, lens: &[usize], heads: usize, head_dim: usize, shift: Option<f32>) {
    let width = heads * head_dim;
    let mut start = Start::new(lens);
    let (qkv, out) = (start.span(3 * width), start.span(width));
    let mut stage = start.begin(suite);
    stage.poison(out, width);
    let mut values = stage.fill(qkv, 3 * width);
    // The last element of every query and key adds the same number to all products.
    if let Some(shift) = shift {
        for (i, value) in values.iter_mut().enumerate().skip(head_dim - 1).step_by(head_dim) {
            match i % (3 * width) / width {
                0 => *value = 20.0,
                1 => *value = shift / 20.0,
                _ => {}
            }
        }
    }
    stage.write(qkv, &values);
    stage.issue(Attention { qkv, out, heads, head_dim });
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let expected = reference::attention(&values, lens, heads, head_dim);
    let what = format!("attention {lens:?} {heads}x{head_dim}");
    suite.tolerance.check(&what, &stage.output(out, width), &expected);
}
