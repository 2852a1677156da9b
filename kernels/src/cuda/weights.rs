//! The weights of a plan in one block of device memory.
//!
//! Matrices and tables lie row-major in 16 bits, vectors in f32, each on a boundary of 256 bytes.

use super::elem::Elem;
use super::memory::{Address, DeviceMemory};
use super::stream::Stream;
use crate::{ArenaLayout, Error, Result, WeightForm, WeightId};

/// Where each weight begins.
const BOUNDARY: usize = 256;

/// The weights by their ids.
pub(crate) struct Weights {
    memory: DeviceMemory,
    elem: Elem,
    forms: Vec<WeightForm>,
    /// By weight: first byte in `memory`.
    places: Vec<usize>,
}

impl Weights {
    pub(super) fn new(stream: &Stream, elem: Elem, layout: &ArenaLayout) -> Result<Self> {
        let mut end = 0_usize;
        let mut places = Vec::with_capacity(layout.weights.len());
        for form in &layout.weights {
            places.push(end);
            let bytes = elements(form).saturating_mul(element_bytes(form));
            end =
                end.saturating_add(bytes).checked_next_multiple_of(BOUNDARY).unwrap_or(usize::MAX);
        }
        let memory = DeviceMemory::new(stream, "weights", end)?;
        Ok(Self { memory, elem, forms: layout.weights.clone(), places })
    }

    pub(super) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub(super) fn load(
        &self,
        stream: &Stream,
        id: WeightId,
        first_row: usize,
        values: &[f32],
    ) -> Result<()> {
        let Some(form) = self.forms.get(id.0) else {
            let declared = self.forms.len();
            return Err(Error::mismatch("weight", format_args!("one of {declared}"), id));
        };
        form.check_rows(first_row, values)?;
        let first = first_row * form.shape().1;
        let at = self.address(id) + (first * element_bytes(form)) as u64;
        match form {
            WeightForm::Vector { .. } => stream.upload(at, values),
            _ => stream.upload(at, &self.elem.encode_weights(values)?),
        }
    }

    /// The matrix `[n, k]`.
    pub(crate) fn matrix(&self, id: WeightId, n: usize, k: usize) -> Result<Address> {
        match self.forms.get(id.0) {
            Some(&WeightForm::Matrix { n: found_n, k: found_k })
                if (found_n, found_k) == (n, k) =>
            {
                Ok(self.address(id))
            }
            _ => Err(Error::mismatch("weight", format_args!("a matrix of {n} x {k}"), id)),
        }
    }

    /// The table whose rows have `width` elements, and how many it has.
    pub(crate) fn table(&self, id: WeightId, width: usize) -> Result<(Address, usize)> {
        match self.forms.get(id.0) {
            Some(&WeightForm::Table { rows, width: found }) if found == width => {
                Ok((self.address(id), rows))
            }
            _ => Err(Error::mismatch("weight", format_args!("a table {width} wide"), id)),
        }
    }

    /// The vector of `len` elements.
    pub(crate) fn vector(&self, id: WeightId, len: usize) -> Result<Address> {
        match self.forms.get(id.0) {
            Some(&WeightForm::Vector { len: found }) if found == len => Ok(self.address(id)),
            _ => Err(Error::mismatch("weight", format_args!("a vector of {len}"), id)),
        }
    }

    fn address(&self, id: WeightId) -> Address {
        self.memory.address() + self.places[id.0] as u64
    }
}

fn elements(form: &WeightForm) -> usize {
    let (rows, columns) = form.shape();
    rows.saturating_mul(columns)
}

fn element_bytes(form: &WeightForm) -> usize {
    match form {
        WeightForm::Vector { .. } => size_of::<f32>(),
        _ => Elem::BYTES,
    }
}
