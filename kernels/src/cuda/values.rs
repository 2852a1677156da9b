//! Which values lie packed, and which behind a map.
//!
//! Nothing moves when rows leave: the vectors of the rows that stay keep their places, and a map
//! from live tokens to places takes the leavers out. Kernels read and write such a value through
//! its map until the pass ends.

use super::driver::Address;
use super::rows::{Rows, Table};
use crate::{Error, Result, Span};

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
    map: Map,
}

/// The values that are not packed.
#[derive(Debug, Default)]
pub(crate) struct Values(Vec<Mapped>);

impl Values {
    /// All values are packed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How a value lies.
    pub(crate) fn map(&self, span: Span) -> Map {
        self.find(span).map_or(Map::Packed, |mapped| mapped.map)
    }

    /// Elements behind an entry of the map, and the map, for a value that is not packed.
    pub(crate) fn mapped(&self, span: Span) -> Option<(usize, Map)> {
        self.find(span).map(|mapped| (mapped.width, mapped.map))
    }

    fn find(&self, span: Span) -> Option<&Mapped> {
        self.0.iter().find(|mapped| mapped.at == span.at)
    }

    /// Prepares for an op that drops tokens of `spans`, which alone keep their meaning. Gives the
    /// `local` map that the op starts from.
    ///
    /// # Errors
    /// The spans would need two different local maps.
    pub(crate) fn drop_tokens(
        &mut self,
        spans: &[Span],
        width: usize,
        rows: &Rows,
    ) -> Result<Address> {
        let packed = if rows.are_whole() { Map::Origin } else { Map::Local };
        let maps: Vec<Map> = spans.iter().map(|&span| self.map(span)).collect();
        let is_local = |wanted: Map| maps.contains(&wanted);
        if packed == Map::Local && is_local(Map::Packed) && is_local(Map::Local) {
            let found = "one packed after tokens were dropped";
            return Err(Error::mismatch("values", "values dropped together before", found));
        }
        let local = if is_local(Map::Local) { rows.table().local } else { 0 };
        self.0.clear();
        for (span, map) in spans.iter().zip(maps) {
            let map = if map == Map::Packed { packed } else { map };
            self.0.push(Mapped { at: span.at, width, map });
        }
        Ok(local)
    }
}
