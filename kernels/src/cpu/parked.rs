//! Values of rows that are parked, by place.
//!
//! Values of the running group lie packed in the arena, in the order of its rows. So a row that is
//! parked takes its value with it, and brings it back.

use super::arena::Buffer;
use crate::slots::Slots;
use crate::{ArenaLayout, Compact, Error, Result, RowSlot, RowTokens};

/// Room for the resident value of every row.
#[derive(Default)]
pub(crate) struct Parked {
    values: Buffer,
    /// Elements from one place to the next.
    stride: usize,
}

impl Parked {
    /// None where there is one group, which cannot be parked.
    pub(crate) fn new(layout: &ArenaLayout) -> Result<Self> {
        if layout.groups_max < 2 {
            return Ok(Self::default());
        }
        let stride = layout.resident_width();
        let values = Buffer::new("parked rows", layout.tokens_max.saturating_mul(stride))?;
        Ok(Self { values, stride })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.bytes()
    }

    /// Elements that a place has at a site.
    ///
    /// # Errors
    /// They were not set aside: the value is not resident.
    pub(crate) fn width(&self, site: &Compact) -> Result<usize> {
        let vectors = match site.tokens {
            RowTokens::Own => 1,
            RowTokens::Each(each) => each,
        };
        let width = vectors * site.width;
        Error::check_fits("elements of a parked vector", width, self.stride)?;
        Ok(width)
    }

    /// Saves a row's vectors, `width` elements a place, which begin `row`.
    pub(crate) fn save(&mut self, slots: &Slots, slot: RowSlot, width: usize, row: &[f32]) {
        for (place, vector) in slots.runs(slot).flatten().zip(row.chunks_exact(width.max(1))) {
            self.values[place as usize * self.stride..][..width].copy_from_slice(vector);
        }
    }

    /// Brings a row's vectors to the beginning of `row`.
    pub(crate) fn load(&self, slots: &Slots, slot: RowSlot, width: usize, row: &mut [f32]) {
        for (place, vector) in slots.runs(slot).flatten().zip(row.chunks_exact_mut(width.max(1))) {
            vector.copy_from_slice(&self.values[place as usize * self.stride..][..width]);
        }
    }
}
