//! Patches of images to rows of tokens.

use offramp_kernels::Patches;

use super::images::begin;
use super::stage::uneven;
use super::{Start, Suite};

/// One learnt token or two, on widths that are whole chunks or not, rows of which some are alone.
pub fn tokens(suite: &Suite) {
    for (rows, firsts, patches, width) in [(1, 1, 1, 5), (3, 1, 6, 32), (2, 2, 4, 33)] {
        let tokens = firsts + patches;
        let mut start = Start::new(&vec![tokens; rows]);
        start.layout.image_tokens = tokens;
        start.layout.row_pixels = patches;
        let (first, position) = (start.table(firsts, width), start.table(tokens, width));
        let x = start.span(width);
        let out = start.span(width);
        let mut stage = start.device(suite);
        begin(&mut stage, &vec![0; rows * patches], rows);
        let given = uneven(&mut stage.random, rows * patches * width);
        stage.write(x, &given);
        let given = stage.read(x, given.len());
        stage.poison(out, width);
        stage.issue(Patches { x, patches, first, firsts, position, out, width });
        let (front, places) = (stage.weight(first).to_vec(), stage.weight(position).to_vec());
        let expected: Vec<f64> = given
            .chunks(patches * width)
            .flat_map(|row| front.iter().chain(row).zip(&places))
            .map(|(value, place)| f64::from(*value) + f64::from(*place))
            .collect();
        suite.tolerance.check("patches", &stage.output(out, width), &expected);
    }
}
