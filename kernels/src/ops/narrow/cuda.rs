//! Nothing moves: the maps from live tokens to their places keep one entry a row.

use super::Narrow;
use crate::cuda::{CudaDevice, Kernel, Launch, TableParameters};
use crate::{LiveBound, Result};

impl Narrow {
    pub(crate) fn launch(&self, device: &mut CudaDevice, bound: LiveBound) -> Result<()> {
        self.check(&device.layout)?;
        let cover = device.cover(bound)?;
        let reserved = device.reserved()?;
        let [from, to] = reserved.rows.tables()?;
        let local = reserved.values.drop_tokens(&self.values, self.width, &from)?;
        let arguments = TableParameters::new(&from, local, &to).pack();
        reserved.rows.slots.narrow();
        reserved.rows.advance();
        let threads = Kernel::Narrow.threads() as usize;
        let grid = [(cover.rows + 1).div_ceil(threads) as u32, 1, 1];
        let (kernel, shared_bytes) = (Kernel::Narrow, 0);
        device.push(Launch { kernel, grid, shared_bytes, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::kernels::check_parameters;

    #[test]
    fn parameters_match_the_ptx() {
        check_parameters(Kernel::Narrow, TableParameters::TYPES);
    }
}
