//! How the device stores activations, matrices and tables.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::{Error, Result, WeightData};

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

    /// The bytes of weights: as they are where they come in this format, by one rounding otherwise.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a finite number that the format cannot hold.
    pub(crate) fn encode_weights(self, data: WeightData<'_>) -> Result<Cow<'_, [u8]>> {
        let bytes = match (self, data) {
            (Self::F16, WeightData::F16(values)) => return Ok(bytemuck::cast_slice(values).into()),
            (Self::Bf16, WeightData::Bf16(values)) => {
                return Ok(bytemuck::cast_slice(values).into());
            }
            // Rounded to odd they are rounded again as if they came exact.
            (Self::F16 | Self::Bf16, WeightData::Int8 { .. }) => {
                self.encode(&data.scaled(round_to_odd))
            }
            _ => self.encode(&data.to_f32()),
        };
        let values = data.to_f32();
        let overflows = |pair: &(&f32, f32)| pair.0.is_finite() && !pair.1.is_finite();
        let beyond = values.iter().zip(self.decode(&bytes)).find(overflows);
        if let Some((value, _)) = beyond {
            return Err(Error::mismatch("weight", format_args!("{} numbers", self.name()), value));
        }
        Ok(bytes.into())
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

/// The single next to `exact` whose last bit is 1, unless a single is `exact`: what is rounded to
/// fewer bits then is rounded as `exact` would be (Boldo and Melquiond, 2008).
fn round_to_odd(exact: f64) -> f32 {
    let nearest = exact as f32;
    if f64::from(nearest) == exact {
        return nearest;
    }
    let is_beyond = f64::from(nearest).abs() > exact.abs();
    f32::from_bits((nearest.to_bits() - u32::from(is_beyond)) | 1)
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
        let large = WeightData::F32(&[1.0, 1e6]);
        assert!(Elem::F16.encode_weights(large).is_err());
        assert!(Elem::Bf16.encode_weights(large).is_ok());
        assert!(Elem::Tf32.encode_weights(large).is_ok());
        assert!(Elem::F16.encode_weights(WeightData::F32(&[65504.0])).is_ok());
        let large = [bf16::from_f32(1e6)];
        assert!(Elem::F16.encode_weights(WeightData::Bf16(&large)).is_err());
    }

    #[test]
    fn weights_of_the_own_format_are_taken_as_they_are() {
        let halves = [0x0001, 0x3c01, 0xfbff].map(f16::from_bits);
        let bytes = Elem::F16.encode_weights(WeightData::F16(&halves)).unwrap();
        assert!(matches!(bytes, Cow::Borrowed(bytes) if bytes.len() == 6));
    }

    /// Some of these lie so near the middle of two halves that a rounding to f32 puts them there.
    #[test]
    fn scaled_numbers_are_rounded_once() {
        let mut differ = 0;
        for bits in (0x3f00_0000..0x3f80_0000).step_by(97) {
            let scale = f32::from_bits(bits);
            let data = WeightData::Int8 { values: &[127], scales: &[scale] };
            let bytes = Elem::F16.encode_weights(data).unwrap();
            let found = u16::from_le_bytes([bytes[0], bytes[1]]);
            let exact = 127.0 * f64::from(scale);
            let far = |bits: u16| (f16::from_bits(bits).to_f64() - exact).abs();
            assert!(far(found) <= far(found - 1) && far(found) <= far(found + 1), "{scale}");
            differ += u32::from(f16::from_f32(127.0 * scale).to_bits() != found);
        }
        assert!(differ > 0, "no case of two roundings");
    }
}
