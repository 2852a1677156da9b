//! Narrowing to first tokens, against the values themselves.

use offramp_kernels::{ExitId, Narrow, Norm, Pool, Ramp, RowSlot, RowTokens, Span};

use super::{Stage, Start, Suite, lens_to_offsets};

const WIDTH: usize = 20;
const LENS: [&[usize]; 4] = [&[1], &[3, 1, 7], &[1, 1, 1], &[31, 127, 33, 2]];

struct Narrowed {
    stage: Stage,
    values: [Span; 2],
    /// First tokens of each value, before.
    firsts: [Vec<f32>; 2],
}

fn narrowed(suite: &Suite, lens: &[usize]) -> (Narrowed, Norm) {
    let mut start = Start::new(lens);
    let (scale, shift) = (start.vector(WIDTH), start.vector(WIDTH));
    let values = [start.span(WIDTH), start.span(WIDTH)];
    let out = start.span(WIDTH);
    let mut stage = start.begin(suite);
    let firsts = values.map(|value| {
        let all = stage.fill(value, WIDTH);
        let offsets = lens_to_offsets(lens);
        let first = |&at: &u32| all[at as usize * WIDTH..][..WIDTH].to_vec();
        offsets[..lens.len()].iter().flat_map(first).collect()
    });
    stage.issue(Narrow { values, width: WIDTH });
    let norm = Norm { x: values[0], scale, shift, eps: 1e-5, out, width: WIDTH };
    (Narrowed { stage, values, firsts }, norm)
}

/// Both values hold the first tokens of the rows, in order.
pub fn first_tokens(suite: &Suite) {
    for lens in LENS {
        let (Narrowed { mut stage, values, firsts }, _) = narrowed(suite, lens);
        for (value, firsts) in values.into_iter().zip(firsts) {
            assert_eq!(stage.read(value, firsts.len()), firsts, "{lens:?}");
        }
    }
}

/// Afterwards an op over tokens touches one vector a row, and all ways to pool give it.
pub fn ops_after(suite: &Suite) {
    for lens in LENS {
        let (Narrowed { mut stage, values, firsts }, norm) = narrowed(suite, lens);
        let out = norm.out;
        stage.issue(norm);
        stage.check_untouched(out, lens.len() * WIDTH);
        for (exit, pool) in [Pool::First, Pool::Mean, Pool::Last].into_iter().enumerate() {
            let (exit, x) = (ExitId(exit as u32), values[1]);
            stage.issue(Ramp {
                exit,
                x,
                tokens: RowTokens::Own,
                width: WIDTH,
                norm: None,
                pool,
                hidden: None,
                head: None,
            });
            assert_eq!(stage.exits().len(), lens.len());
            for (slot, first) in firsts[1].chunks_exact(WIDTH).enumerate() {
                let found = stage.device.logits(exit, RowSlot(slot as u32));
                assert_eq!(found, first, "{pool} of row {slot} in {lens:?}");
            }
        }
    }
}
