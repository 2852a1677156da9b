//! A float tensor in a mapped file, and its conversion to f32 in bounded chunks.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::Dtype;

use crate::error::{Error, Result};
use crate::file::header::Entry;
use crate::file::shown;

/// Elements converted at a time when a whole tensor is read.
const CHUNK: usize = 64 << 10;

/// The element types that are read. All are little-endian in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elem {
    /// IEEE single precision, 4 bytes.
    F32,
    /// IEEE half precision, 2 bytes.
    F16,
    /// The upper half of a single, 2 bytes.
    BF16,
}

impl Elem {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    pub(super) fn of(dtype: Dtype) -> Option<Self> {
        match dtype {
            Dtype::F32 => Some(Self::F32),
            Dtype::F16 => Some(Self::F16),
            Dtype::BF16 => Some(Self::BF16),
            _ => None,
        }
    }
}

impl From<Elem> for Dtype {
    fn from(elem: Elem) -> Self {
        match elem {
            Elem::F32 => Self::F32,
            Elem::F16 => Self::F16,
            Elem::BF16 => Self::BF16,
        }
    }
}

impl fmt::Display for Elem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        })
    }
}

/// Consecutive elements of a tensor in the representation that the file has.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// The upper half of a single.
    Bf16(&'a [bf16]),
}

/// A tensor as it lies in the file: row-major, not yet converted.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    file: &'a Path,
    name: &'a str,
    shape: &'a [usize],
    elem: Elem,
    /// As many as shape and element type ask for; the header check saw to it.
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    pub(super) fn new(file: &'a Path, entry: &'a Entry, bytes: &'a [u8]) -> Result<Self> {
        let (name, shape) = (&*entry.name, &*entry.shape);
        match Elem::of(entry.dtype) {
            Some(elem) => Ok(Self { file, name, shape, elem, bytes }),
            None => {
                let found = entry.dtype.to_string();
                Err(Error::tensor(file, name, "elements of F32, F16 or BF16", found))
            }
        }
    }

    /// The full name in the file.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The dimensions, outermost first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// How the elements are stored.
    pub fn elem(&self) -> Elem {
        self.elem
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.elem.bytes()
    }

    /// Whether a dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing, when the shape is `shape`. Error: it is another; the text gives both.
    pub fn expect_shape(&self, shape: &[usize]) -> Result<()> {
        if self.shape == shape {
            return Ok(());
        }
        let (expected, found) = (shown(shape), shown(self.shape));
        Err(self.misfit(format!("shape {expected}"), format!("shape {found}")))
    }

    /// Calls `f(first, values)` over consecutive chunks of at most `chunk` values, where `first`
    /// is the index of the chunk's first element. Allocates one chunk, and nothing where the file
    /// holds aligned f32, which is lent as it lies. A `chunk` of 0 counts as 1.
    ///
    /// Errors: a NaN or infinite value, before `f` sees its chunk; or what `f` returns, at once.
    pub fn for_each_chunk<E: From<Error>>(
        &self,
        chunk: usize,
        mut f: impl FnMut(usize, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let chunk = chunk.max(1);
        let mut lend = |number: usize, values: &[f32]| {
            let first = number * chunk;
            self.check_finite(first, values)?;
            f(first, values)
        };
        if let Some(values) = self.as_f32() {
            let mut chunks = values.chunks(chunk).enumerate();
            return chunks.try_for_each(|(number, values)| lend(number, values));
        }
        let mut converted = vec![0.0; chunk.min(self.len())];
        let chunk_bytes = chunk.saturating_mul(self.elem.bytes());
        for (number, bytes) in self.bytes.chunks(chunk_bytes).enumerate() {
            let values = &mut converted[..bytes.len() / self.elem.bytes()];
            convert(self.elem, bytes, values);
            lend(number, values)?;
        }
        Ok(())
    }

    /// As [`Self::for_each_chunk`], with the elements as they are stored: nothing is converted.
    ///
    /// Errors: the same.
    pub fn for_each_stored<E: From<Error>>(
        &self,
        chunk: usize,
        mut f: impl FnMut(usize, Stored<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.elem == Elem::F32 {
            return self.for_each_chunk(chunk, |first, values| f(first, Stored::F32(values)));
        }
        let chunk = chunk.max(1);
        let mut aligned = Vec::with_capacity(chunk.min(self.len()));
        for (number, bytes) in self.bytes.chunks(chunk.saturating_mul(2)).enumerate() {
            let (stored, _) = bytes.as_chunks();
            aligned.clear();
            aligned.extend(stored.iter().map(|bytes| u16::from_le_bytes(*bytes)));
            let first = number * chunk;
            self.check_finite_halves(first, &aligned)?;
            match self.elem {
                Elem::F16 => f(first, Stored::F16(bytemuck::cast_slice(&aligned)))?,
                _ => f(first, Stored::Bf16(bytemuck::cast_slice(&aligned)))?,
            }
        }
        Ok(())
    }

    /// All values, converted to f32. Error: a NaN or infinite value.
    pub fn to_vec(&self) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(self.len());
        self.for_each_chunk(CHUNK, |_, values| {
            all.extend_from_slice(values);
            Ok::<(), Error>(())
        })?;
        Ok(all)
    }

    /// The values of the elements `range`, converted to f32. Errors: a NaN or infinite value
    /// among them, or a range that leaves the tensor.
    pub fn slice(&self, range: Range<usize>) -> Result<Vec<f32>> {
        let bytes = self.elem.bytes();
        let span = range.start.saturating_mul(bytes)..range.end.saturating_mul(bytes);
        let Some(stored) = self.bytes.get(span) else {
            let expected = format!("the elements {range:?}");
            return Err(self.misfit(expected, format!("{} elements", self.len())));
        };
        let mut values = vec![0.0; range.len()];
        convert(self.elem, stored, &mut values);
        self.check_finite(range.start, &values)?;
        Ok(values)
    }

    /// The elements as they are stored.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error about this tensor.
    pub(crate) fn misfit(&self, expected: String, found: String) -> Error {
        Error::tensor(self.file, self.name, expected, found)
    }

    /// The file's own bytes as f32, when they are that and aligned.
    fn as_f32(&self) -> Option<&'a [f32]> {
        let as_stored = self.elem == Elem::F32 && cfg!(target_endian = "little");
        as_stored.then(|| bytemuck::try_cast_slice(self.bytes).ok()).flatten()
    }

    /// Exponents of all ones are those of infinities and NaN.
    fn check_finite_halves(&self, first: usize, bits: &[u16]) -> Result<()> {
        let exponent = if self.elem == Elem::F16 { 0x7c00 } else { 0x7f80 };
        let largest = bits.iter().fold(0, |max: u16, bits| max.max(bits & 0x7fff));
        if largest < exponent {
            return Ok(());
        }
        let mut values = vec![0.0; bits.len()];
        convert(self.elem, bytemuck::cast_slice(bits), &mut values);
        self.check_finite(first, &values)
    }

    fn check_finite(&self, first: usize, values: &[f32]) -> Result<()> {
        // A maximum over magnitudes as integers has no early exit, so it runs as vectors do.
        let largest = values.iter().fold(0, |max: u32, value| max.max(value.abs().to_bits()));
        if largest < f32::INFINITY.to_bits() {
            return Ok(());
        }
        let mut all = values.iter().zip(first..);
        match all.find(|(value, _)| !value.is_finite()) {
            None => Ok(()),
            Some((value, index)) => {
                Err(self.misfit("finite values".into(), format!("{value} at element {index}")))
            }
        }
    }
}

/// Converts stored elements to f32, exactly; as many values as `bytes` holds elements.
fn convert(elem: Elem, bytes: &[u8], values: &mut [f32]) {
    match elem {
        Elem::F32 => {
            let (stored, _) = bytes.as_chunks();
            let pairs = values.iter_mut().zip(stored);
            pairs.for_each(|(value, stored)| *value = f32::from_le_bytes(*stored));
        }
        Elem::F16 => convert_f16(bytes, values),
        Elem::BF16 => {
            let (stored, _) = bytes.as_chunks();
            let pairs = values.iter_mut().zip(stored);
            pairs.for_each(|(value, [low, high])| {
                *value = f32::from_le_bytes([0, 0, *low, *high]);
            });
        }
    }
}

fn convert_f16(bytes: &[u8], values: &mut [f32]) {
    if cfg!(target_endian = "little")
        && let Ok(stored) = bytemuck::try_cast_slice::<u8, f16>(bytes)
    {
        return stored.convert_to_f32_slice(values);
    }
    let (stored, _) = bytes.as_chunks();
    let pairs = values.iter_mut().zip(stored);
    pairs.for_each(|(value, stored)| *value = f16::from_le_bytes(*stored).to_f32());
}
