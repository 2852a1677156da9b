//! How the device stores activations, matrices and tables.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::{Error, Result};

/// A 16-bit storage format. Sums, vectors and logits are f32 with both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Elem {
    /// IEEE half: 11 significant bits, up to 65504.
    #[default]
    F16,
    /// bfloat16: 8 significant bits, the range of f32.
    Bf16,
}

impl Elem {
    /// Bytes of an element.
    pub const BYTES: usize = 2;

    /// `f16` or `bf16`, as the PTX files are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// The bits of the nearest elements; what is beyond the range becomes infinite.
    pub(crate) fn encode(self, values: &[f32]) -> Vec<u16> {
        let mut bits = vec![0; values.len()];
        match self {
            Self::F16 => {
                bytemuck::cast_slice_mut::<u16, f16>(&mut bits).convert_from_f32_slice(values);
            }
            Self::Bf16 => {
                bytemuck::cast_slice_mut::<u16, bf16>(&mut bits).convert_from_f32_slice(values);
            }
        }
        bits
    }

    /// [`Self::encode`] for weights.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a finite number that the format cannot hold.
    pub(crate) fn encode_weights(self, values: &[f32]) -> Result<Vec<u16>> {
        let bits = self.encode(values);
        let overflows = |(&value, &bits): (&f32, &u16)| value.is_finite() && !self.is_finite(bits);
        match values.iter().zip(&bits).find(|&pair| overflows(pair)) {
            None => Ok(bits),
            Some((value, _)) => {
                Err(Error::mismatch("weight", format_args!("{} numbers", self.name()), value))
            }
        }
    }

    /// What the bits stand for.
    pub(crate) fn decode(self, bits: u16) -> f32 {
        match self {
            Self::F16 => f16::from_bits(bits).to_f32(),
            Self::Bf16 => bf16::from_bits(bits).to_f32(),
        }
    }

    /// The sum of what the bits stand for, rounded once.
    pub(crate) fn sum(self, bits: &[u16]) -> f32 {
        bits.iter().map(|&bits| f64::from(self.decode(bits))).sum::<f64>() as f32
    }

    fn is_finite(self, bits: u16) -> bool {
        self.decode(bits).is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_holds_comes_back() {
        for elem in [Elem::F16, Elem::Bf16] {
            let values = [0.0, -0.5, 1.5, -7.25, f32::INFINITY];
            let back: Vec<f32> = elem.encode(&values).into_iter().map(|b| elem.decode(b)).collect();
            assert_eq!(back, values);
            assert!(elem.decode(elem.encode(&[f32::NAN])[0]).is_nan());
        }
    }

    #[test]
    fn weights_beyond_the_range_are_refused() {
        assert!(Elem::F16.encode_weights(&[1.0, 1e6]).is_err());
        assert!(Elem::Bf16.encode_weights(&[1.0, 1e6]).is_ok());
        assert!(Elem::F16.encode_weights(&[65504.0]).is_ok());
    }
}
