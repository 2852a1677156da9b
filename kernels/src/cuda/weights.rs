//! The weights of a plan in one block of device memory.
//!
//! Matrices and tables lie row-major in the storage format, vectors in f32, each on a boundary of
//! 256 bytes. Where products take over layer norms, the sums of its rows lie behind a matrix.

use super::driver::Address;
use super::elem::Elem;
use super::memory::DeviceMemory;
use super::stream::Stream;
use crate::{ArenaLayout, Error, Result, WeightData, WeightForm, WeightId};

/// Where each weight begins.
const BOUNDARY: usize = 256;

/// The weights by their ids.
pub(crate) struct Weights {
    memory: DeviceMemory,
    elem: Elem,
    forms: Vec<WeightForm>,
    /// By weight: first byte in `memory`.
    places: Vec<usize>,
    /// By weight: first byte of the sums of a matrix's rows.
    sums: Vec<usize>,
    has_sums: bool,
}

impl Weights {
    pub(super) fn new(stream: &Stream, elem: Elem, layout: &ArenaLayout) -> Result<Self> {
        let mut end = 0_usize;
        let mut take = |bytes: usize| {
            let at = end;
            end =
                end.saturating_add(bytes).checked_next_multiple_of(BOUNDARY).unwrap_or(usize::MAX);
            at
        };
        let mut places = Vec::with_capacity(layout.weights.len());
        let mut sums = Vec::with_capacity(layout.weights.len());
        let has_sums = !layout.moments.is_empty();
        for form in &layout.weights {
            places.push(take(elements(form).saturating_mul(element_bytes(form, elem))));
            let summed = if has_sums { rows(form) } else { 0 };
            sums.push(take(summed.saturating_mul(size_of::<f32>())));
        }
        let memory = DeviceMemory::new(stream, "weights", end)?;
        Ok(Self { memory, elem, forms: layout.weights.clone(), places, sums, has_sums })
    }

    pub(super) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    pub(super) fn load(
        &self,
        stream: &Stream,
        id: WeightId,
        first_row: usize,
        data: WeightData<'_>,
    ) -> Result<()> {
        let Some(form) = self.forms.get(id.0) else {
            let declared = self.forms.len();
            return Err(Error::mismatch("weight", format_args!("one of {declared}"), id));
        };
        data.check_scales(form.check_rows(first_row, data.len())?)?;
        let first = first_row * form.shape().1;
        let at = self.address(id) + (first * element_bytes(form, self.elem)) as u64;
        match form {
            WeightForm::Vector { .. } => stream.upload(at, &data.to_f32()),
            WeightForm::Matrix { k, .. } if self.has_sums => {
                let bytes = self.elem.encode_weights(data)?;
                let sum = |row: &[u8]| self.elem.decode(row).map(f64::from).sum::<f64>() as f32;
                let sums: Vec<f32> = bytes.chunks_exact(*k * self.elem.bytes()).map(sum).collect();
                let first = self.sums[id.0] + first_row * size_of::<f32>();
                stream.upload(self.memory.address() + first as u64, &sums)?;
                stream.upload(at, &bytes)
            }
            _ => stream.upload(at, &self.elem.encode_weights(data)?),
        }
    }

    /// Sums over the `k` elements of each of a matrix's rows, as it is stored; only under a layout
    /// with moments.
    pub(crate) fn sums(&self, id: WeightId) -> Address {
        self.memory.address() + self.sums[id.0] as u64
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

/// Rows whose sums are kept.
fn rows(form: &WeightForm) -> usize {
    match *form {
        WeightForm::Matrix { n, .. } => n,
        _ => 0,
    }
}

fn elements(form: &WeightForm) -> usize {
    let (rows, columns) = form.shape();
    rows.saturating_mul(columns)
}

fn element_bytes(form: &WeightForm, elem: Elem) -> usize {
    match form {
        WeightForm::Vector { .. } => size_of::<f32>(),
        _ => elem.bytes(),
    }
}
