//! Aligned memory, and the two ways several slices of it are held at once.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

use crate::{Error, Result, Span};

/// A cache line: what a buffer is aligned to.
#[repr(C, align(64))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Line([f32; 16]);

/// A fixed number of f32, 64-byte aligned, zero at first.
#[derive(Default)]
pub(crate) struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// Sets `len` elements aside.
    pub(crate) fn new(what: &'static str, len: usize) -> Result<Self> {
        let count = len.div_ceil(16);
        let mut lines = Vec::new();
        let bytes = len.saturating_mul(4);
        lines.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { what, bytes })?;
        lines.resize(count, Line::zeroed());
        Ok(Self { lines, len })
    }

    /// Bytes set aside.
    pub(crate) fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>()
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
    }
}

/// The activations of a pass.
#[derive(Default)]
pub(crate) struct Arena(Buffer);

impl Arena {
    pub(crate) fn new(len: usize) -> Result<Self> {
        Ok(Self(Buffer::new("activations", len)?))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// Fails unless `span` holds `len` elements and lies in the arena.
    pub(crate) fn check(&self, what: &'static str, span: Span, len: usize) -> Result<()> {
        span.check(what, len, self.0.len())
    }

    pub(crate) fn slice(&self, what: &'static str, span: Span) -> Result<&[f32]> {
        self.check(what, span, 0)?;
        Ok(&self.0[span.at..span.end()])
    }

    pub(crate) fn slice_mut(&mut self, what: &'static str, span: Span) -> Result<&mut [f32]> {
        self.check(what, span, 0)?;
        Ok(&mut self.0[span.at..span.end()])
    }

    /// Spans to read, which may share elements, and one to write, which shares none with them.
    pub(crate) fn views<const N: usize>(
        &mut self,
        reads: [Span; N],
        write: Span,
    ) -> Result<([&[f32]; N], &mut [f32])> {
        self.check("output", write, 0)?;
        for read in reads {
            self.check("operand", read, 0)?;
            if read.overlaps(&write) {
                return Err(Error::mismatch("output", "a span apart from the operands", write));
            }
        }
        let base = self.0.as_mut_ptr();
        // SAFETY: every span was checked to lie in the buffer, which stays borrowed for the
        // lifetime of the result; `write` shares no element with any of `reads`.
        Ok(unsafe {
            (
                reads.map(|span| std::slice::from_raw_parts(base.add(span.at), span.len)),
                std::slice::from_raw_parts_mut(base.add(write.at), write.len),
            )
        })
    }
}

/// A slice that the workers of a team write parts of at the same time.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    base: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` whose parts are handed out under the contract of `part`.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self { base: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// The elements `at .. at + len`; panics where they lie outside.
    ///
    /// # Safety
    /// No other part that shares an element with this one may be alive.
    pub(crate) unsafe fn part(&self, at: usize, len: usize) -> &'a mut [f32] {
        assert!(at <= self.len && len <= self.len - at, "invariant: parts lie in the slice");
        // SAFETY: in bounds as just checked, and the only reference by this function's contract.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(at), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_exact() {
        let buffer = Buffer::new("test", 33).expect("room for 33");
        assert_eq!(buffer.len(), 33);
        assert_eq!(buffer.as_ptr() as usize % 64, 0);
        assert_eq!(buffer.bytes(), 192);
    }

    #[test]
    fn views_refuse_what_overlaps_or_lies_outside() {
        let mut arena = Arena::new(64).expect("room for 64");
        let span = |at, len| Span { at, len };
        assert!(arena.views([span(0, 32), span(16, 16)], span(32, 32)).is_ok());
        assert!(arena.views([span(0, 32)], span(31, 2)).is_err());
        assert!(arena.views([span(40, 32)], span(0, 2)).is_err());
        assert!(arena.views([span(usize::MAX, 2)], span(0, 2)).is_err());
    }

    #[test]
    fn hopeless_sizes_are_errors() {
        assert!(matches!(Buffer::new("test", usize::MAX), Err(Error::OutOfMemory { .. })));
    }
}
