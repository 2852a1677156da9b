//! Chooses among four kernels: tensor cores on tiles of three sizes, of which the smallest can
//! have the sum over `k` in shares, and plain arithmetic for shapes without alignment.

use super::Linear;
use crate::cuda::{Address, CudaDevice, Kernel, Launch, Tile, Tuning, Value, parameters, round_up};
use crate::{Activation, ArenaLayout, LiveBound, Result, WeightForm};

parameters! {
    /// All but `linear_few` in `linear.cu`
    struct LinearParameters for LinearBroad, LinearWide, LinearAny in linear_signature {
        x: u64,
        x_map: u64,
        weight: u64,
        bias: u64,
        residual: u64,
        residual_map: u64,
        out: u64,
        out_map: u64,
        live: u64,
        n: u32,
        k: u32,
        activation: u32,
    }
}

parameters! {
    /// `linear_few` in `linear.cu`
    struct SplitParameters for LinearFew in split_signature {
        x: u64,
        x_map: u64,
        weight: u64,
        bias: u64,
        residual: u64,
        residual_map: u64,
        out: u64,
        out_map: u64,
        live: u64,
        n: u32,
        k: u32,
        activation: u32,
        partial: u64,
        arrivals: u64,
        splits: u32,
    }
}

/// Tiles on tensor cores, by kernel.
const TILES: [(Tile, Kernel); 3] = [
    (Tile::Broad, Kernel::LinearBroad),
    (Tile::Wide, Kernel::LinearWide),
    (Tile::Few, Kernel::LinearFew),
];
/// Side of the tiles of `linear_few`, which also counts steps of `k`, and of `linear_any`.
const FEW: usize = 64;
const ANY: usize = 16;

/// Blocks that a product of few tokens should have.
const BLOCKS_WANTED: usize = 96;
/// Shares of a sum at most, and steps of `k` that each has at least.
const SPLITS_MAX: usize = 8;
const STEPS_MIN: usize = 2;

/// Shares of the sum over `k` in a pass of few tokens: a function of the shape alone.
fn splits(n: usize, k: usize) -> usize {
    let wanted = BLOCKS_WANTED.div_ceil(n.div_ceil(FEW).max(1));
    wanted.min(k.div_ceil(FEW) / STEPS_MIN).clamp(1, SPLITS_MAX)
}

/// Bytes for partial sums and for arrival counters that the products of a layout need.
pub(crate) fn linear_workspace(layout: &ArenaLayout, tuning: &Tuning) -> (usize, usize) {
    let tokens = round_up(tuning.split_tokens.min(layout.tokens_max), FEW);
    let shapes = layout.weights.iter().filter_map(|form| match *form {
        WeightForm::Matrix { n, k } => Some((n.next_multiple_of(FEW), splits(n, k))),
        _ => None,
    });
    shapes.filter(|&(_, splits)| splits > 1).fold((0, 0), |(partial, arrivals), (n, splits)| {
        let elements = tokens.saturating_mul(n);
        (partial.max(elements * splits * 4), arrivals.max(elements / (FEW * FEW) * 4))
    })
}

impl Linear {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let (x, out) = (device.value(self.x)?, device.value(self.out)?);
        let residual = self.residual.map(|residual| device.value(residual)).transpose()?;
        let cover = device.cover(bound)?;
        let reserved = device.reserved()?;
        let weight = reserved.weights.matrix(self.weight, self.n, self.k)?;
        let bias = reserved.weights.vector(self.bias, self.n)?;
        let (partial, arrivals) = (reserved.partial.address(), reserved.arrivals.address());
        if cover.tokens == 0 || self.n == 0 {
            return Ok(());
        }
        let live = reserved.rows.table().live;
        let given = self.parameters(x, out, residual, [weight, bias, live]);
        let is_aligned = x.is_aligned(self.k) && weight.is_multiple_of(16) && self.k > 0;
        let is_split =
            cover.pass_tokens <= device.tuning.split_tokens && splits(self.n, self.k) > 1;
        let tile = match is_split {
            true => Some((Tile::Few, Kernel::LinearFew)),
            false => device.tile(&TILES, cover.tokens, self.n),
        };
        let Some((tile, kernel)) = tile.filter(|_| is_aligned) else {
            let grid = [self.n.div_ceil(ANY) as u32, cover.tokens.div_ceil(ANY) as u32, 1];
            let (kernel, arguments) = (Kernel::LinearAny, given.pack());
            return device.push(Launch { kernel, grid, shared_bytes: 0, arguments });
        };
        let splits = if is_split { splits(self.n, self.k) } else { 1 };
        let arguments = match kernel {
            Kernel::LinearFew => given.split(partial, arrivals, splits).pack(),
            _ => given.pack(),
        };
        let across = self.n.div_ceil(tile.outputs()) as u32;
        let down = cover.tokens.div_ceil(tile.tokens()) as u32;
        let (grid, shared_bytes) = ([across, down, splits as u32], kernel.shared_bytes_max());
        device.push(Launch { kernel, grid, shared_bytes, arguments })
    }

    fn parameters(
        &self,
        x: Value,
        out: Value,
        residual: Option<Value>,
        [weight, bias, live]: [Address; 3],
    ) -> LinearParameters {
        LinearParameters {
            x: x.at,
            x_map: x.map,
            weight,
            bias,
            residual: residual.map_or(0, |residual| residual.at),
            residual_map: residual.map_or(0, |residual| residual.map),
            out: out.at,
            out_map: out.map,
            live,
            n: self.n as u32,
            k: self.k as u32,
            activation: self.activation.number(),
        }
    }
}

impl LinearParameters {
    fn split(self, partial: Address, arrivals: Address, splits: usize) -> SplitParameters {
        let Self { x, x_map, weight, bias, residual, residual_map, out, out_map, .. } = self;
        let Self { live, n, k, activation, .. } = self;
        SplitParameters {
            x,
            x_map,
            weight,
            bias,
            residual,
            residual_map,
            out,
            out_map,
            live,
            n,
            k,
            activation,
            partial,
            arrivals,
            splits: splits as u32,
        }
    }
}

impl Activation {
    /// As `common.cuh` numbers them.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::None => 0,
            Self::GeluErf => 1,
            Self::GeluTanh => 2,
            Self::Relu => 3,
            Self::Tanh => 4,
            Self::Silu => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_sums_for_few_outputs_are_cut() {
        assert_eq!(splits(768, 3072), 8);
        assert_eq!(splits(768, 768), 6);
        assert_eq!(splits(3072, 768), 2);
        assert_eq!(splits(16384, 768), 1);
        assert_eq!(splits(768, 128), 1);
    }

    #[test]
    fn every_share_has_steps_to_do() {
        for n in [1, 64, 384, 768, 3072] {
            for k in [8_usize, 64, 128, 160, 384, 768, 1000, 3072] {
                let steps = k.div_ceil(FEW);
                assert!(splits(n, k) == 1 || steps >= STEPS_MIN * splits(n, k), "{n} {k}");
            }
        }
    }
}
