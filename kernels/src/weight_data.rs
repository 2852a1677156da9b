//! Weights as they come: a device packs each representation as it sees fit.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::{Error, Result};

/// Whole rows of a weight, row-major, in the representation that somebody has.
///
/// A device takes over what it stores itself as it is; anything else becomes its nearest number by
/// one rounding.
#[derive(Clone, Copy, Debug)]
pub enum WeightData<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// The upper half of a single.
    Bf16(&'a [bf16]),
    /// Whole numbers times the scale of their row.
    Int8 {
        /// Row-major.
        values: &'a [i8],
        /// One for each row.
        scales: &'a [f32],
    },
}

impl<'a> WeightData<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F16(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Int8 { values, .. } => values.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As singles: halves exactly, whole numbers by one rounding.
    pub(crate) fn to_f32(self) -> Cow<'a, [f32]> {
        match self {
            Self::F32(values) => Cow::Borrowed(values),
            Self::F16(values) => Cow::Owned(values.to_f32_vec()),
            Self::Bf16(values) => Cow::Owned(values.to_f32_vec()),
            Self::Int8 { .. } => Cow::Owned(self.scaled(|value| value as f32)),
        }
    }

    /// Whole numbers times their scales, exact, each turned into something else.
    pub(crate) fn scaled<T>(self, mut make: impl FnMut(f64) -> T) -> Vec<T> {
        let Self::Int8 { values, scales } = self else { return Vec::new() };
        let columns = (values.len() / scales.len().max(1)).max(1);
        let rows = values.chunks(columns).zip(scales);
        let products = rows
            .flat_map(|(row, scale)| row.iter().map(|value| f64::from(*value) * f64::from(*scale)));
        products.map(&mut make).collect()
    }

    /// Fails unless there are scales for `rows` rows, where there are any.
    pub(crate) fn check_scales(self, rows: usize) -> Result<()> {
        match self {
            Self::Int8 { scales, .. } if scales.len() != rows => {
                Err(Error::mismatch("scales of a weight", rows, scales.len()))
            }
            _ => Ok(()),
        }
    }
}

impl<'a> From<&'a [f32]> for WeightData<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_scaled_by_row() {
        let data = WeightData::Int8 { values: &[1, -2, 3, 127], scales: &[0.5, 2.0] };
        assert_eq!(data.to_f32()[..], [0.5, -1.0, 6.0, 254.0]);
        assert!(data.check_scales(2).is_ok() && data.check_scales(3).is_err());
    }

    #[test]
    fn halves_are_widened_exactly() {
        let halves = [1.0, -0.333, 65504.0].map(f16::from_f32);
        assert_eq!(WeightData::F16(&halves).to_f32()[..], halves.map(f32::from));
        let halves = [1.0, -0.333, 1e30].map(bf16::from_f32);
        assert_eq!(WeightData::Bf16(&halves).to_f32()[..], halves.map(f32::from));
    }
}
