//! Which values lie packed, and which behind a map.
//!
//! Nothing moves when rows leave: the vectors of the rows that stay keep their places, and a map
//! from live tokens to places takes the leavers out. A resident value always lies by place. Others
//! are written packed; once tokens have been dropped, kernels read and write those that are still
//! needed through a map until the step ends.

use super::driver::Address;
use super::table::Table;
use crate::{ArenaLayout, Error, Result, Span};

/// How to get from a live token to its vector, or from a live image to its vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    /// They lie back to back.
    Packed,
    /// By [`Table::origin`].
    Origin,
    /// By [`Table::local`].
    Local,
}

impl Map {
    /// Where the map lies; 0 is the identity.
    pub(crate) fn address(self, table: &Table) -> Address {
        match self {
            Self::Packed => 0,
            Self::Origin => table.origin,
            Self::Local => table.local,
        }
    }
}

/// A value that is not packed.
#[derive(Clone, Copy, Debug)]
struct Mapped {
    at: usize,
    /// Elements that an entry of the map stands for.
    width: usize,
}

/// The values that are not packed.
#[derive(Debug, Default)]
pub(crate) struct Values {
    resident: Vec<Mapped>,
    /// Written before tokens were dropped.
    local: Vec<Mapped>,
}

impl Values {
    pub(super) fn new(layout: &ArenaLayout) -> Self {
        let mapped = |value: &Span| Mapped { at: value.at, width: layout.place_width(value) };
        Self { resident: layout.resident.iter().map(mapped).collect(), local: Vec::new() }
    }

    /// All values are packed but those that are resident.
    pub(crate) fn clear(&mut self) {
        self.local.clear();
    }

    /// How a value lies.
    pub(crate) fn map(&self, span: Span) -> Map {
        self.mapped(span).map_or(Map::Packed, |(_, map)| map)
    }

    /// Elements behind an entry of the map, and the map, for a value that is not packed.
    pub(crate) fn mapped(&self, span: Span) -> Option<(usize, Map)> {
        let find = |values: &[Mapped]| values.iter().find(|value| value.at == span.at).copied();
        let resident = find(&self.resident).map(|value| (value.width, Map::Origin));
        resident.or_else(|| find(&self.local).map(|value| (value.width, Map::Local)))
    }

    /// Prepares for an op that drops tokens of `spans`, which alone keep their meaning. Gives the
    /// map that the `local` of the next `table` starts from.
    ///
    /// # Errors
    /// The spans would need two different local maps.
    pub(crate) fn drop_tokens(
        &mut self,
        spans: &[Span],
        width: usize,
        table: &Table,
    ) -> Result<Address> {
        let has = |wanted: Map| spans.iter().any(|&span| self.map(span) == wanted);
        if has(Map::Packed) && has(Map::Local) {
            let found = "one packed after tokens were dropped";
            return Err(Error::mismatch("values", "values dropped together before", found));
        }
        let local = if has(Map::Local) { table.local } else { 0 };
        self.local.clear();
        for span in spans {
            if self.resident.iter().all(|value| value.at != span.at) {
                self.local.push(Mapped { at: span.at, width });
            }
        }
        Ok(local)
    }
}
