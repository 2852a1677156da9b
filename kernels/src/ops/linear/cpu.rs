//! A matrix product of the live tokens.

use super::Linear;
use crate::cpu::CpuDevice;
use crate::cpu::gemm::{self, Epilogue, Residual, Rows};
use crate::{Error, Result, RowTokens};

impl Linear {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        if !self.norms.is_empty() {
            let expected = "values behind their norms, on the CPU";
            return Err(Error::mismatch("linear", expected, "one before its norm"));
        }
        let count = device.rows.count(RowTokens::Own);
        let (x, out) = (device.packed(self.x, self.k), device.packed(self.out, self.n));
        let weight = device.weights.matrix(self.weight, self.n, self.k)?;
        let bias = device.weights.vector(self.bias, self.n)?;
        // The third view: without a residual apart from `out`, `x` again.
        let apart = self.residual.filter(|residual| residual.at != self.out.at);
        let third = apart.map_or(x, |residual| device.packed(residual, self.n));
        let ([x, residual], out) = device.arena.views([x, third], out)?;
        let residual = Residual::of(self.residual, self.out, residual);
        let rows = Rows { data: x, count, stride: self.k };
        let epilogue =
            Epilogue { bias, activation: self.activation, residual, activates_last: false };
        gemm::multiply(device.simd, &mut device.team, rows, weight, &epilogue, out)
    }
}
