//! Chooses among four kernels: tensor cores on tiles of three sizes, of which the smallest can
//! have the sum over `k` in shares, and plain arithmetic for shapes without alignment.

use super::Linear;
use crate::cuda::{
    CudaDevice, Kernel, Launch, Reserved, Tile, Tuning, Value, parameters, round_up,
};
use crate::{Activation, ArenaLayout, Error, LiveBound, Result, WeightForm};

parameters! {
    /// All that `linear_any` in `linear.cu` takes, and what the others take first.
    struct ProductParameters for LinearAny in any_signature {
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
    /// The layer norms that a product takes over; all 0 where there are none.
    struct NormParameters {
        moments: u64,
        eps: f32,
        sums: u64,
        scale: u64,
        shift: u64,
        out_moments: u64,
    }
}

parameters! {
    /// The shares of a sum over `k`.
    struct ShareParameters {
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
        let given = self.product_parameters(device)?;
        let norms = self.norm_parameters(device.reserved()?)?;
        let cover = device.cover(bound)?;
        if cover.tokens == 0 || self.n == 0 {
            return Ok(());
        }
        let x = Value { at: given.x, map: given.x_map };
        let is_aligned = x.is_aligned(self.k) && given.weight.is_multiple_of(16) && self.k > 0;
        let has_few_tokens = cover.pass_tokens <= device.tuning.split_tokens;
        let splits = if has_few_tokens { splits(self.n, self.k) } else { 1 };
        let tile = match splits > 1 {
            true => Some((Tile::Few, Kernel::LinearFew)),
            false => device.tile(&TILES, cover.tokens, self.n),
        };
        let Some((tile, kernel)) = tile.filter(|_| is_aligned) else {
            return self.launch_any(device, given, cover.tokens);
        };
        let mut arguments = given.pack().and(&norms.pack());
        if kernel == Kernel::LinearFew {
            let Reserved { partial, arrivals, .. } = device.reserved()?;
            let (partial, arrivals) = (partial.address(), arrivals.address());
            let shares = ShareParameters { partial, arrivals, splits: splits as u32 };
            arguments = arguments.and(&shares.pack());
        }
        let across = self.n.div_ceil(tile.outputs()) as u32;
        let down = cover.tokens.div_ceil(tile.tokens()) as u32;
        let (grid, shared_bytes) = ([across, down, splits as u32], device.shared_bytes(kernel));
        device.push(Launch { kernel, grid, shared_bytes, arguments })
    }

    fn launch_any(
        &self,
        device: &mut CudaDevice,
        given: ProductParameters,
        tokens: usize,
    ) -> Result<()> {
        if !self.norms.is_empty() {
            let expected = "widths in steps of 8 where norms are taken over";
            return Err(Error::mismatch("linear", expected, format_args!("{} inputs", self.k)));
        }
        let grid = [self.n.div_ceil(ANY) as u32, tokens.div_ceil(ANY) as u32, 1];
        let (kernel, arguments) = (Kernel::LinearAny, given.pack());
        device.push(Launch { kernel, grid, shared_bytes: 0, arguments })
    }

    fn product_parameters(&self, device: &mut CudaDevice) -> Result<ProductParameters> {
        let (x, out) = (device.value(self.x)?, device.value(self.out)?);
        let residual = self.residual.map(|residual| device.value(residual)).transpose()?;
        let reserved = device.reserved()?;
        Ok(ProductParameters {
            x: x.at,
            x_map: x.map,
            weight: reserved.weights.matrix(self.weight, self.n, self.k)?,
            bias: reserved.weights.vector(self.bias, self.n)?,
            residual: residual.map_or(0, |residual| residual.at),
            residual_map: residual.map_or(0, |residual| residual.map),
            out: out.at,
            out_map: out.map,
            live: reserved.rows.table()?.live,
            n: self.n as u32,
            k: self.k as u32,
            activation: self.activation.number(),
        })
    }

    fn norm_parameters(&self, reserved: &Reserved) -> Result<NormParameters> {
        let mut norms = NormParameters::default();
        if let Some(x) = self.norms.x {
            norms.moments = reserved.moments(x.moments);
            norms.eps = x.eps;
            norms.sums = reserved.weights.sums(self.weight);
        }
        if let Some(residual) = self.norms.residual {
            norms.moments = reserved.moments(residual.standard.moments);
            norms.eps = residual.standard.eps;
            norms.scale = reserved.weights.vector(residual.scale, self.n)?;
            norms.shift = reserved.weights.vector(residual.shift, self.n)?;
        }
        norms.out_moments = self.norms.out.map_or(0, |out| reserved.moments(out));
        Ok(norms)
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
    use crate::cuda::kernels::check_parameters;

    #[test]
    fn parameters_of_tensor_kernels_match_the_ptx() {
        let both = [ProductParameters::TYPES, NormParameters::TYPES].concat();
        for kernel in [Kernel::LinearBroad, Kernel::LinearWide] {
            check_parameters(kernel, &both);
        }
        check_parameters(Kernel::LinearFew, &[&both, ShareParameters::TYPES].concat());
    }

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
