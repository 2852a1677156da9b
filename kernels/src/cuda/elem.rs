//! How the device stores activations, matrices and tables.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::{Error, Result};

/// A storage format. Sums, vectors and logits are f32 with all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Elem {
    /// IEEE half: 11 significant bits, up to 65504.
    #[default]
    F16,
    /// bfloat16: 8 significant bits, the range of f32.
    Bf16,
    /// f32, which tensor cores multiply in two parts of 11 significant bits.
    Tf32,
}

impl Elem {
    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::Tf32 => 4,
        }
    }

    /// `f16`, `bf16` or `tf32`, as the PTX files are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Tf32 => "tf32",
        }
    }

    /// The bytes of the nearest elements; what is beyond the range becomes infinite.
    pub(crate) fn encode(self, values: &[f32]) -> Vec<u8> {
        let mut bits = vec![0_u16; values.len()];
        match self {
            Self::F16 => {
                bytemuck::cast_slice_mut::<u16, f16>(&mut bits).convert_from_f32_slice(values);
            }
            Self::Bf16 => {
                bytemuck::cast_slice_mut::<u16, bf16>(&mut bits).convert_from_f32_slice(values);
            }
            Self::Tf32 => return bytemuck::cast_slice(values).to_vec(),
        }
        bytemuck::cast_slice(&bits).to_vec()
    }

    /// [`Self::encode`] for weights.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a finite number that the format cannot hold.
    pub(crate) fn encode_weights(self, values: &[f32]) -> Result<Vec<u8>> {
        let bytes = self.encode(values);
        let overflows = |pair: &(&f32, f32)| pair.0.is_finite() && !pair.1.is_finite();
        let beyond = values.iter().zip(self.decode(&bytes)).find(overflows);
        if let Some((value, _)) = beyond {
            return Err(Error::mismatch("weight", format_args!("{} numbers", self.name()), value));
        }
        Ok(bytes)
    }

    /// What the bytes stand for.
    pub(crate) fn decode(self, bytes: &[u8]) -> impl Iterator<Item = f32> {
        bytes.chunks_exact(self.bytes()).map(move |bytes| match (self, bytes) {
            (Self::F16, &[a, b]) => f16::from_le_bytes([a, b]).to_f32(),
            (Self::Bf16, &[a, b]) => bf16::from_le_bytes([a, b]).to_f32(),
            (_, bytes) => f32::from_le_bytes(bytes.try_into().unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_holds_comes_back() {
        for elem in [Elem::F16, Elem::Bf16, Elem::Tf32] {
            let values = [0.0, -0.5, 1.5, -7.25, f32::INFINITY];
            let bytes = elem.encode(&values);
            assert_eq!(bytes.len(), values.len() * elem.bytes());
            assert!(elem.decode(&bytes).eq(values));
            assert!(elem.decode(&elem.encode(&[f32::NAN])).all(f32::is_nan));
        }
    }

    #[test]
    fn weights_beyond_the_range_are_refused() {
        assert!(Elem::F16.encode_weights(&[1.0, 1e6]).is_err());
        assert!(Elem::Bf16.encode_weights(&[1.0, 1e6]).is_ok());
        assert!(Elem::Tf32.encode_weights(&[1.0, 1e6]).is_ok());
        assert!(Elem::F16.encode_weights(&[65504.0]).is_ok());
    }
}
