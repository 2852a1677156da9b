//! A matrix product of the live tokens.

use super::Linear;
use crate::cpu::CpuDevice;
use crate::cpu::gemm::{self, Epilogue, Residual, Rows};
use crate::{Error, Result};

impl Linear {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(device)?;
        let count = device.rows.tokens().len();
        let (x, out) = (device.live(self.x, self.k), device.live(self.out, self.n));
        let weight = device.weights.matrix(self.weight, self.n, self.k)?;
        let bias = device.weights.vector(self.bias, self.n)?;
        // The third view: without a residual apart from `out`, `x` again.
        let apart = self.residual.filter(|residual| residual.at != self.out.at);
        let third = apart.map_or(x, |residual| device.live(residual, self.n));
        let ([x, residual], out) = device.arena.views([x, third], out)?;
        let residual = match (self.residual, apart) {
            (None, _) => Residual::None,
            (Some(_), None) => Residual::InPlace,
            (Some(_), Some(_)) => Residual::From(residual),
        };
        let rows = Rows { data: x, count, stride: self.k };
        let epilogue = Epilogue { bias, activation: self.activation, residual };
        gemm::multiply(device.simd, &mut device.team, rows, weight, &epilogue, out)
    }

    fn check(&self, device: &CpuDevice) -> Result<()> {
        device.check_matrix("linear x", self.x, self.k)?;
        device.check_matrix("linear out", self.out, self.n)?;
        if self.x.overlaps(&self.out) {
            return Err(Error::mismatch("linear out", "a span apart from x", self.out));
        }
        let Some(residual) = self.residual else { return Ok(()) };
        device.check_matrix("linear residual", residual, self.n)?;
        if residual.at != self.out.at && residual.overlaps(&self.out) {
            return Err(Error::mismatch("linear residual", "out or a span apart", residual));
        }
        Ok(())
    }
}
