//! Embedding and layer norm.

use offramp_kernels::{Embed, Norm, NormWeights, Score};

use super::{Start, Suite, lens_to_offsets, tokens};
use crate::reference;

const EPS: f32 = 1e-5;

/// Sums of three tables or two, normalised or not.
pub fn embed(suite: &Suite) {
    for (lens, width, with_kind) in
        [(vec![1], 5, true), (vec![3, 31, 1], 384, true), (vec![33, 127], 100, false)]
    {
        for with_norm in [true, false] {
            check_embed(suite, &lens, width, [with_kind, with_norm]);
        }
    }
}

fn check_embed(suite: &Suite, lens: &[usize], width: usize, [with_kind, with_norm]: [bool; 2]) {
    let mut start = Start::new(lens);
    let longest = start.layout.row_tokens_max;
    let (word, position) = (start.table(50, width), start.table(longest, width));
    let kind = with_kind.then(|| start.table(2, width));
    let (scale, shift) = (start.vector(width), start.vector(width));
    let out = start.span(width);
    let mut stage = start.device(suite);
    let tokens = tokens(&mut stage.random, lens);
    let offsets = lens_to_offsets(lens);
    stage.begin_with(&tokens, &offsets, Score::Confidence, &[2.0; 4], &[]);
    stage.poison(out, width);
    let norm = with_norm.then_some(NormWeights { scale, shift, eps: EPS });
    stage.issue(Embed { word, position, kind, norm, out, width });
    let sums = reference::embed(
        &tokens,
        width,
        stage.weight(word),
        stage.weight(position),
        kind.map(|kind| stage.weight(kind)),
    );
    let expected = match with_norm {
        true => reference::norm(&sums, stage.weight(scale), stage.weight(shift), EPS),
        false => sums,
    };
    suite.tolerance.check("embed", &stage.output(out, width), &expected);
}

/// From one span to another.
pub fn norm(suite: &Suite) {
    check_norm(suite, false);
}

/// The output is the input.
pub fn norm_in_place(suite: &Suite) {
    check_norm(suite, true);
}

fn check_norm(suite: &Suite, in_place: bool) {
    for (lens, width) in
        [(vec![1], 1), (vec![2, 5], 17), (vec![31, 1, 33], 100), (vec![127], 384), (vec![40], 768)]
    {
        let mut start = Start::new(&lens);
        let (scale, shift) = (start.vector(width), start.vector(width));
        let x = start.span(width);
        let out = if in_place { x } else { start.span(width) };
        let mut stage = start.begin(suite);
        stage.poison(out, width);
        let values = stage.fill(x, width);
        stage.issue(Norm { x, scale, shift, eps: EPS, out, width });
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let expected = reference::norm(&values, stage.weight(scale), stage.weight(shift), EPS);
        suite.tolerance.check("norm", &stage.output(out, width), &expected);
    }
}
