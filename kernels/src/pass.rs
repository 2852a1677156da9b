//! What goes into a device and what comes out of it.

use std::fmt;

use bytemuck::{Pod, Zeroable};

use crate::{ArenaLayout, Error, Result};

/// One token as a device reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Token {
    /// Row of the word table.
    pub id: u32,
    /// Row of the position table.
    pub position: u16,
    /// Row of the kind ("token type") table; 0 where a model has none.
    pub kind: u16,
}

/// Identity of a row on its device, from [`admit`](crate::Device::admit) to
/// [`retire`](crate::Device::retire).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowSlot(pub u32);

/// An exit of the plan: ramps count from 0, the final exit is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExitId(pub u32);

impl fmt::Display for ExitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit{}", self.0)
    }
}

/// How a ramp turns its probabilities into a score in [0, 1], where higher is surer.
///
/// Where each logit has a sigmoid of its own ([`Decision`](crate::Decision)), the answers that are
/// weighed against each other are the sets of labels, each label by itself: the likeliest set has
/// the product of `max(p, 1 - p)` as its probability, the second differs in the label that is
/// least sure. A number is scored as one such label is: the flatter its sigmoid is where it lies,
/// the less another number near by matters.
///
/// The one rule everywhere: *a row exits iff score >= threshold*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// The highest probability of an answer.
    Confidence,
    /// `1 - H / ln(answers)`, the entropy turned into sureness (DeeBERT, arXiv 2004.12993).
    Entropy,
    /// The highest probability less the second highest (CALM, arXiv 2207.07061).
    Margin,
    /// Share of `k` successive ramps, this one the last, that decided the same; a number within
    /// the tolerance of the one before (PABEE, arXiv 2006.04152).
    Patience {
        /// Agreeing ramps in a row that make the score 1.
        k: u32,
    },
}

/// Where one row may leave, whatever the thresholds say to the others.
///
/// Serves requests that ask for a shallowest or deepest exit, and measurements with a known
/// share of rows leaving at each ramp.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ExitWindow {
    /// The first exit that may let it out.
    pub first: u32,
    /// The exit that lets it out whatever its score; exits beyond the final one mean none.
    pub last: u32,
}

impl ExitWindow {
    /// The thresholds alone decide.
    pub const ANY: Self = Self { first: 0, last: u32::MAX };
}

/// What rows are made of, one row after the other.
#[derive(Clone, Copy, Debug)]
pub enum RowInput<'a> {
    /// Texts, packed without padding.
    Text {
        /// Tokens of all rows back to back.
        tokens: &'a [Token],
        /// Where each row's tokens begin, plus the end: `rows + 1` rising numbers from 0.
        offsets: &'a [u32],
    },
    /// Images: `[rows, height, width, channels]`, as large as
    /// [`ArenaLayout::row_pixels`] says.
    Images(&'a [u8]),
    /// The images that [`Device::stage`](crate::Device::stage) was given, all of them.
    Staged,
}

/// Rows that come together, packed without padding, and the settings that they meet.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// What the rows are made of.
    pub input: RowInput<'a>,
    /// By row: it runs on to the end even after its answer has left.
    pub stays: &'a [bool],
    /// By row: where it may leave. Empty means [`ExitWindow::ANY`] for all.
    pub windows: &'a [ExitWindow],
    /// The score every ramp uses.
    pub score: Score,
    /// By exit: the threshold. One snapshot holds for the group.
    pub thresholds: &'a [f32],
}

impl Admission<'_> {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.stays.len()
    }

    /// By row: how many places it needs; an image as many as it has tokens, or else one.
    pub(crate) fn places(
        &self,
        image_tokens: usize,
    ) -> impl ExactSizeIterator<Item = usize> + Clone {
        let offsets = match self.input {
            RowInput::Text { offsets, .. } => offsets,
            RowInput::Images(_) | RowInput::Staged => &[],
        };
        let tokens = |row: usize| (offsets[row + 1] - offsets[row]) as usize;
        let image = image_tokens.max(1);
        (0..self.rows()).map(move |row| if offsets.is_empty() { image } else { tokens(row) })
    }

    /// Fails where it contradicts itself or exceeds what was reserved.
    pub(crate) fn check(&self, layout: &ArenaLayout) -> Result<()> {
        let rows = self.rows();
        Error::check_fits("rows", rows, layout.rows_max)?;
        self.check_input(layout)?;
        if !self.windows.is_empty() {
            check_count("windows", rows, self.windows.len())?;
        }
        check_count("thresholds", layout.exits, self.thresholds.len())?;
        if self.score == (Score::Patience { k: 0 }) {
            return Err(Error::mismatch("patience", "at least 1", 0));
        }
        Ok(())
    }

    fn check_input(&self, layout: &ArenaLayout) -> Result<()> {
        let rows = self.rows();
        match self.input {
            RowInput::Text { tokens, offsets } => {
                Error::check_fits("tokens", tokens.len(), layout.tokens_max)?;
                check_count("offsets", rows + 1, offsets.len().max(1))?;
                check_offsets(offsets, tokens.len(), layout.row_tokens_max)
            }
            RowInput::Images(pixels) => {
                check_count("pixels", rows * layout.row_pixels, pixels.len())
            }
            // The device knows how many there are.
            RowInput::Staged => Ok(()),
        }
    }
}

fn check_count(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if found != expected {
        return Err(Error::mismatch(what, expected, found));
    }
    Ok(())
}

/// Offsets rise from 0 to the number of tokens; every row has tokens, but not too many.
fn check_offsets(offsets: &[u32], tokens: usize, row_tokens_max: usize) -> Result<()> {
    if let Some(&first) = offsets.first()
        && first != 0
    {
        return Err(Error::mismatch("offsets", "0 first", first));
    }
    for pair in offsets.windows(2) {
        if pair[1] <= pair[0] {
            let expected = format!("more than {}", pair[0]);
            return Err(Error::mismatch("offsets", expected, pair[1]));
        }
        Error::check_fits("tokens of a row", (pair[1] - pair[0]) as usize, row_tokens_max)?;
    }
    let end = offsets.last().map_or(0, |&end| end as usize);
    check_count("end of the last row", tokens, end)
}

/// An upper bound on what is alive on the device, as far as the host knows.
///
/// It may be stale: devices guard with their own counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LiveBound {
    /// Rows alive at most.
    pub rows: usize,
    /// Tokens alive at most.
    pub tokens: usize,
}

/// What one exit said about one row that reached it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct ExitRecord {
    /// The row, see [`RowSlot`].
    pub slot: u32,
    /// The exit, see [`ExitId`].
    pub exit: u32,
    /// What was decided: the most probable class, or as [`Decision`](crate::Decision) says.
    pub label: u32,
    /// Score in [0, 1].
    pub score: f32,
    /// [`Self::ANSWERS`] and [`Self::NOT_FINITE`].
    pub flags: u32,
}

impl ExitRecord {
    /// This is the row's answer: the first exit whose score reached its threshold.
    pub const ANSWERS: u32 = 1;
    /// A logit was NaN or infinite. The score is 0 and no ramp lets such a row out.
    pub const NOT_FINITE: u32 = 2;

    /// Whether this record is the row's answer.
    pub fn answers(&self) -> bool {
        self.flags & Self::ANSWERS != 0
    }

    /// Whether every logit was a finite number.
    pub fn is_finite(&self) -> bool {
        self.flags & Self::NOT_FINITE == 0
    }
}
