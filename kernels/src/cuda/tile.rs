//! Which tile a matrix product is cut into. No tile changes a bit, so speed alone decides.

/// What one block makes of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// 128 tokens by 192 outputs. Needs 123.5 KiB of shared memory.
    Broad,
    /// 128 tokens by 128 outputs.
    Wide,
    /// 64 tokens by 64 outputs.
    Few,
}

impl Tile {
    /// Tokens of a tile.
    pub(crate) fn tokens(self) -> usize {
        match self {
            Self::Broad | Self::Wide => 128,
            Self::Few => 64,
        }
    }

    /// Outputs of a tile.
    pub(crate) fn outputs(self) -> usize {
        match self {
            Self::Broad => 192,
            Self::Wide => 128,
            Self::Few => 64,
        }
    }

    /// Products that a multiprocessor of an H100 adds in a cycle: bound by the tensor cores, or by
    /// what warps read from shared memory for each product. Only ratios matter here.
    fn products_per_cycle(self) -> f64 {
        match self {
            Self::Broad => 1200.0,
            Self::Wide => 1024.0,
            Self::Few => 680.0,
        }
    }

    /// Cycles for a step of `k` of a product: multiprocessors take tiles in turns, and the last
    /// turn takes as long as the others.
    pub(crate) fn cycles(self, tokens: usize, outputs: usize, multiprocessors: usize) -> f64 {
        let tiles = tokens.div_ceil(self.tokens()) * outputs.div_ceil(self.outputs());
        let turns = tiles.div_ceil(multiprocessors.max(1));
        (turns * self.tokens() * self.outputs()) as f64 / self.products_per_cycle()
    }
}

/// How products are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Passes of up to this many tokens cut the sum over `k` of a product into shares, so that
    /// few tokens keep all multiprocessors busy.
    pub split_tokens: usize,
    /// The tile of every product that can use it; `None` for the one that is done first.
    pub tile: Option<Tile>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fastest tile for a product on an H100.
    fn fastest(tokens: usize, outputs: usize) -> Tile {
        let cycles = |tile: &Tile| tile.cycles(tokens, outputs, 132);
        let tiles = [Tile::Broad, Tile::Wide, Tile::Few];
        tiles.into_iter().min_by(|a, b| cycles(a).total_cmp(&cycles(b))).unwrap()
    }

    /// Query, output and feed-forward layers of BERT-base: 144 tiles of 128 x 128 would be two
    /// turns of 132 multiprocessors, 96 of 128 x 192 are one.
    #[test]
    fn few_multiprocessors_wait_in_the_last_turn() {
        let rows = |rows: usize| [2304, 768, 3072].map(|outputs| fastest(rows * 128, outputs));
        assert_eq!(rows(8), [Tile::Broad, Tile::Few, Tile::Broad]);
        assert_eq!(rows(32), [Tile::Broad; 3]);
    }

    #[test]
    fn few_tokens_take_small_tiles() {
        assert_eq!(fastest(1, 768), Tile::Few);
        assert_eq!(fastest(128, 768), Tile::Few);
    }
}
