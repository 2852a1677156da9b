//! The weights of a plan, each stored as its role demands.

use super::arena::Buffer;
use super::gemm::PackedMatrix;
use crate::{Error, Result, WeightData, WeightForm, WeightId};

enum Weight {
    Matrix(PackedMatrix),
    Plain { rows: usize, width: usize, values: Buffer },
}

impl Weight {
    fn form(&self) -> WeightForm {
        match self {
            Self::Matrix(matrix) => WeightForm::Matrix { n: matrix.n(), k: matrix.k() },
            Self::Plain { rows, width, .. } => WeightForm::Table { rows: *rows, width: *width },
        }
    }
}

/// The weights by their ids.
#[derive(Default)]
pub(crate) struct Weights(Vec<Weight>);

impl Weights {
    pub(crate) fn new(forms: &[WeightForm]) -> Result<Self> {
        let store = |form: &WeightForm| match *form {
            WeightForm::Matrix { n, k } => Ok(Weight::Matrix(PackedMatrix::new(n, k)?)),
            WeightForm::Table { .. } | WeightForm::Vector { .. } => {
                let (rows, width) = form.shape();
                let values = Buffer::new("weights", rows.saturating_mul(width))?;
                Ok(Weight::Plain { rows, width, values })
            }
        };
        Ok(Self(forms.iter().map(store).collect::<Result<_>>()?))
    }

    pub(crate) fn bytes(&self) -> usize {
        let bytes = |weight: &Weight| match weight {
            Weight::Matrix(matrix) => matrix.bytes(),
            Weight::Plain { values, .. } => values.bytes(),
        };
        self.0.iter().map(bytes).sum()
    }

    /// Whatever comes is stored as f32.
    pub(crate) fn load(
        &mut self,
        id: WeightId,
        first_row: usize,
        data: WeightData<'_>,
    ) -> Result<()> {
        let declared = self.0.len();
        let weight = self.0.get_mut(id.0);
        let weight = weight
            .ok_or_else(|| Error::mismatch("weight", format_args!("one of {declared}"), id))?;
        data.check_scales(weight.form().check_rows(first_row, data.len())?)?;
        let values = data.to_f32();
        match weight {
            Weight::Matrix(matrix) => matrix.load(first_row, &values),
            Weight::Plain { width, values: stored, .. } => {
                stored[first_row * *width..][..values.len()].copy_from_slice(&values);
                Ok(())
            }
        }
    }

    /// The matrix `[n, k]`.
    pub(crate) fn matrix(&self, id: WeightId, n: usize, k: usize) -> Result<&PackedMatrix> {
        match self.0.get(id.0) {
            Some(Weight::Matrix(matrix)) if matrix.n() == n && matrix.k() == k => Ok(matrix),
            _ => Err(Error::mismatch("weight", format_args!("a matrix of {n} x {k}"), id)),
        }
    }

    /// The table whose rows have `width` elements.
    pub(crate) fn table(&self, id: WeightId, width: usize) -> Result<&[f32]> {
        match self.0.get(id.0) {
            Some(Weight::Plain { width: found, values, .. }) if *found == width => Ok(values),
            _ => Err(Error::mismatch("weight", format_args!("a table {width} wide"), id)),
        }
    }

    /// The vector of `len` elements.
    pub(crate) fn vector(&self, id: WeightId, len: usize) -> Result<&[f32]> {
        match self.0.get(id.0) {
            Some(Weight::Plain { rows: 1, values, .. }) if values.len() == len => Ok(values),
            _ => Err(Error::mismatch("weight", format_args!("a vector of {len}"), id)),
        }
    }
}
