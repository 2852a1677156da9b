//! Chooses among four kernels, all on tensor cores: large tiles, small ones, thin ones for few
//! outputs, and small ones that gather element by element, for inputs that do not come in chunks
//! of 16 bytes.
//!
//! The tile changes no bit, and no sum is cut: a row's result depends on that row alone.

use super::Conv2d;
use crate::cuda::{Address, CudaDevice, Kernel, Launch, Tile, Value, parameters};
use crate::{ArenaLayout, Error, LiveBound, Result, RowTokens};

parameters! {
    /// `conv2d.cu`
    struct ConvolutionParameters for Conv2dWide, Conv2dFew, Conv2dThin, Conv2dAny in signature {
        x: u64,
        x_map: u64,
        weight: u64,
        bias: u64,
        residual: u64,
        residual_map: u64,
        out: u64,
        out_map: u64,
        live: u64,
        height: u32,
        width: u32,
        inputs: u32,
        kernel: u32,
        stride: u32,
        padding: u32,
        to_pixels: u32,
        to_width: u32,
        n: u32,
        activation: u32,
    }
}

/// Tiles for many outputs, by kernel.
const TILES: [(Tile, Kernel); 2] =
    [(Tile::Wide, Kernel::Conv2dWide), (Tile::Few, Kernel::Conv2dFew)];
/// Output pixels and outputs of a tile for few outputs, and of one that gathers.
const THIN: [usize; 2] = [128, 32];
const ANY: [usize; 2] = [64, 64];
/// Pixels of a side of the windows that all but `conv2d_any` take.
const KERNEL_MAX: usize = 12;
/// Coordinates of a pixel have 16 bits and a sign.
const SIDE_MAX: usize = 1 << 14;
/// Elements of a map are counted in 32 bits.
const ELEMENTS_MAX: usize = i32::MAX as usize;

impl Conv2d {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        self.check_counts(&device.layout)?;
        let (x, out) = (device.value(self.x)?, device.value(self.out)?);
        let residual = self.residual.map(|residual| device.value(residual)).transpose()?;
        let cover = device.cover(bound)?;
        let reserved = device.reserved()?;
        reserved.rows.vectors(RowTokens::Each(self.from.pixels()))?;
        let weight = reserved.weights.matrix(self.weight, self.outputs, self.k())?;
        let bias = reserved.weights.vector(self.bias, self.outputs)?;
        if cover.rows == 0 || self.outputs == 0 {
            return Ok(());
        }
        let given = ConvolutionParameters {
            x: x.at,
            x_map: x.map,
            weight,
            bias,
            residual: residual.map_or(0, |residual| residual.at),
            residual_map: residual.map_or(0, |residual| residual.map),
            out: out.at,
            out_map: out.map,
            live: reserved.rows.table()?.live,
            height: self.from.height as u32,
            width: self.from.width as u32,
            inputs: self.inputs as u32,
            kernel: self.kernel as u32,
            stride: self.stride as u32,
            padding: self.padding as u32,
            to_pixels: self.to().pixels() as u32,
            to_width: self.to().width as u32,
            n: self.outputs as u32,
            activation: self.activation.number(),
        };
        let tokens = cover.rows * self.to().pixels();
        let (kernel, [down, across]) = self.choose(device, x, weight, tokens);
        let shared_bytes = device.shared_bytes(kernel);
        let tiles = tokens.div_ceil(down) * self.outputs.div_ceil(across);
        let grid = [tiles as u32, 1, 1];
        device.push(Launch { kernel, grid, shared_bytes, arguments: given.pack() })
    }

    /// Fails where the kernels cannot count the elements of a map or the pixels of a side.
    fn check_counts(&self, layout: &ArenaLayout) -> Result<()> {
        for (grid, width) in [(self.from, self.inputs), (self.to(), self.outputs)] {
            let sides = grid.height.max(grid.width).saturating_add(self.padding);
            Error::check_fits("pixels of a side", sides.saturating_add(self.kernel), SIDE_MAX)?;
            let row = grid.pixels().saturating_mul(width.max(1));
            let elements = layout.rows_max.saturating_mul(row);
            Error::check_fits("elements of a map", elements, ELEMENTS_MAX)?;
        }
        Error::check_fits("inputs of an output", self.k(), ELEMENTS_MAX)
    }

    /// A kernel, and the output pixels and outputs of its tile.
    fn choose(
        &self,
        device: &CudaDevice,
        x: Value,
        weight: Address,
        tokens: usize,
    ) -> (Kernel, [usize; 2]) {
        let is_aligned = x.is_aligned(self.inputs) && weight.is_multiple_of(16);
        if self.inputs == 0 || !is_aligned || self.kernel > KERNEL_MAX {
            return (Kernel::Conv2dAny, ANY);
        }
        if self.outputs <= THIN[1] {
            return (Kernel::Conv2dThin, THIN);
        }
        // Half of a wide tile would be for nobody.
        let tiles = if self.outputs > Tile::Few.outputs() { &TILES[..] } else { &TILES[1..] };
        match device.tile(tiles, tokens, self.outputs) {
            Some((tile, kernel)) => (kernel, [tile.tokens(), tile.outputs()]),
            None => (Kernel::Conv2dAny, ANY),
        }
    }
}
