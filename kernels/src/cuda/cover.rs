//! What launches must cover, and what no grid can.

use crate::{ArenaLayout, Error, Result};

/// Blocks of a grid along its second and third axis.
const GRID_MAX: usize = 65_535;
/// Tokens that a block of a product has at least (`linear_any`).
const BLOCK_TOKENS_MIN: usize = 16;

/// Fails where a grid over all rows or tokens would be larger than any device takes.
pub(super) fn check_grids(layout: &ArenaLayout) -> Result<()> {
    let within = |what, found: usize, most: usize| match found > most {
        true => Err(Error::mismatch(what, format_args!("at most {most} on a CUDA device"), found)),
        false => Ok(()),
    };
    within("rows of a pass", layout.rows_max, GRID_MAX)?;
    within("tokens of a pass", layout.tokens_max, GRID_MAX * BLOCK_TOKENS_MIN)
}

/// What a launch must cover.
#[derive(Clone, Copy)]
pub(crate) struct Cover {
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
    /// Tokens of a row.
    pub(crate) longest: usize,
    /// Tokens that decide how sums are cut: those the group came with, for all of its way.
    pub(crate) pass_tokens: usize,
}

/// Up to a multiple of `least`, or of a quarter of the next power of two.
pub(crate) fn round_up(count: usize, least: usize) -> usize {
    let step = (count.next_power_of_two() / 4).max(least);
    count.next_multiple_of(step)
}
