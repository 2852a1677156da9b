//! Layer norms that the ops around them take over: a value is stored before its norm, with its
//! moments, and whoever reads it normalises it on the way.

use std::fmt;

use crate::{ArenaLayout, Error, Result, WeightId};

/// Columns of a value whose moments are kept together: mean, and sum of squared distances from it.
#[cfg(feature = "cuda")]
pub(crate) const MOMENT_COLUMNS: usize = 64;

/// Names a table of moments: its index in [`ArenaLayout::moments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MomentsId(pub usize);

/// A value that lies before its layer norm. It is read as `(x - mean) / sqrt(var + eps)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standardised {
    /// Where its moments are.
    pub moments: MomentsId,
    /// Added to the variance.
    pub eps: f32,
}

/// The same with scale and shift: `(x - mean) / sqrt(var + eps) * scale + shift`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalised {
    /// What it is without them.
    pub standard: Standardised,
    /// Scale vector.
    pub scale: WeightId,
    /// Shift vector.
    pub shift: WeightId,
}

/// The layer norms that a product takes over: of `x` or of the residual, not of both.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinearNorms {
    /// `x` lies before its norm, whose scale is in the weight and whose shift in the bias.
    pub x: Option<Standardised>,
    /// The residual lies before its norm; then there is no activation.
    pub residual: Option<Normalised>,
    /// `out` will lie before its norm: its moments are written here.
    pub out: Option<MomentsId>,
}

impl MomentsId {
    /// Fails unless there is such a table for vectors of `width`.
    pub(crate) fn check(self, layout: &ArenaLayout, width: usize) -> Result<()> {
        match layout.moments.get(self.0) {
            Some(&found) if found == width => Ok(()),
            found => {
                let found = found.map_or("none".into(), |found| format!("one of {found}"));
                Err(Error::mismatch("moments", format_args!("a table of {width} columns"), found))
            }
        }
    }
}

impl LinearNorms {
    /// Whether the product takes over none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Fails unless the tables are there and none is read and written.
    pub(crate) fn check(&self, layout: &ArenaLayout, n: usize, k: usize) -> Result<()> {
        if self.x.is_some() && self.residual.is_some() {
            let expected = "x or the residual before its norm";
            return Err(Error::mismatch("linear norms", expected, "both"));
        }
        let x = self.x.map(|x| (x.moments, k));
        let residual = self.residual.map(|residual| (residual.standard.moments, n));
        let read = x.or(residual);
        for (moments, width) in read.into_iter().chain(self.out.map(|out| (out, n))) {
            moments.check(layout, width)?;
        }
        match (read, self.out) {
            (Some((read, _)), Some(out)) if read == out => {
                Err(Error::mismatch("linear moments", "another table than is read", out))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for MomentsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

impl fmt::Display for Standardised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " by {} eps={:e}", self.moments, self.eps)
    }
}

impl fmt::Display for Normalised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.standard, self.scale, self.shift)
    }
}
