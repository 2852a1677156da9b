//! The seam between plans and machines.

use std::time::Duration;

use crate::{
    Admission, ArenaLayout, Compact, ExitId, ExitRecord, GroupId, LiveBound, Op, Result, Room,
    RowSlot, Span, WeightData, WeightId,
};

/// What a machine would rather run, where a plan may choose between ops that give the same values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Channels that convolutions read at a time. An image whose channels are no multiple of it
    /// is better turned into blocks of pixels first ([`crate::Fold`]). 1: any number will do.
    pub channel_step: usize,
    /// Whether products and ramps take over layer norms ([`crate::LinearNorms`]) where a norm
    /// would be an op of its own, if widths are multiples of `channel_step`.
    pub takes_norms: bool,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { channel_step: 1, takes_norms: false }
    }
}

/// A machine that runs ops.
///
/// The order of calls: [`reserve`](Self::reserve) once, [`load`](Self::load) for every weight. Then
/// rows come with [`admit`](Self::admit) and go with [`retire`](Self::retire). Those that come
/// together are a group; ops work on the group that runs. Any number of [`issue`](Self::issue) and
/// [`exits`](Self::exits) take it on. At a site it may be [parked](Self::park), so that another can
/// be admitted, and later [gathered](Self::gather), alone or with others parked there.
/// [`finish`](Self::finish) waits for all that was issued. After `reserve` nothing allocates.
///
/// Row and token counts live on the device, so that rows can leave without the host being asked;
/// the bound given to `issue` may be stale. Whatever op tests hold for one device hold for all:
/// one suite tests them all.
pub trait Device: Send {
    /// What it is, for people: `cpu avx512 x2`.
    fn name(&self) -> String;

    /// Whether ops run behind the host: what was issued may still be waiting when the host
    /// decides what to issue next.
    fn runs_behind(&self) -> bool {
        false
    }

    /// What plans for it are made of, where there is a choice.
    fn preferences(&self) -> Preferences {
        Preferences::default()
    }

    /// Whether passes from now on are timed by a clock of its own, where it has one: a few more
    /// calls of the host. At first they are not.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device failed.
    fn time_passes(&mut self, is_timed: bool) -> Result<()> {
        let _ = is_timed;
        Ok(())
    }

    /// How long the device itself took for the last pass, once it has finished: from behind the
    /// upload of the rows to the end of the last op. `None` without
    /// [`time_passes`](Self::time_passes), or without such a clock.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    fn pass_time(&self) -> Result<Option<Duration>> {
        Ok(None)
    }

    /// Sets aside all memory that passes within `layout` need. The only allocation.
    ///
    /// # Errors
    /// [`crate::Error::OutOfMemory`] where the machine has no room.
    fn reserve(&mut self, layout: &ArenaLayout) -> Result<()>;

    /// Bytes that [`reserve`](Self::reserve) set aside, weights included.
    fn reserved_bytes(&self) -> usize;

    /// Stores rows `first_row ..` of a weight, which are whole rows in any representation.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] where the rows do not fit the declared form, or hold a number
    /// that the device's own format cannot.
    fn load(&mut self, weight: WeightId, first_row: usize, data: WeightData<'_>) -> Result<()>;

    /// Takes a part of images that will be admitted next, while others run: some bytes from byte
    /// `from` on, where those before have been taken already; 0 begins with other images. Gives how
    /// many it has by then. Once that is all of them, [`RowInput::Staged`](crate::RowInput::Staged)
    /// admits them; admitting anything else forgets them.
    ///
    /// Never waits for the device, but to forget images that are on their way. What it gives may be
    /// `from`: it has no room for more now, or gains nothing by it.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] beyond the reserved limits, [`crate::Error::Mismatch`] where
    /// `from` is not what the last call gave.
    fn stage(&mut self, _images: &[u8], _from: usize) -> Result<usize> {
        Ok(0)
    }

    /// What it could admit now.
    fn room(&self) -> Room;

    /// Takes rows in, as a group that runs from now on, if there are any: each gets a slot, which
    /// is appended to `slots`, and a place for each token. What they are made of is read by ops
    /// that come before any row leaves, and before other rows come. Waits for the device only
    /// where it would have to overwrite what it has not taken over yet from rows that were there
    /// before.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] beyond the room there is, [`crate::Error::Mismatch`] where
    /// offsets, flags or thresholds contradict each other, or another group runs.
    fn admit(&mut self, rows: &Admission<'_>, slots: &mut Vec<RowSlot>) -> Result<GroupId>;

    /// The running group, if there is one, runs no longer. At a `site` its rows keep their vectors
    /// of the value that crosses, and may be gathered; without one they have run to their end, and
    /// all that is left of them are their records.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] where the value of the site is not resident, tokens have been
    /// dropped by a [`crate::Narrow`], or there is no room for another group.
    fn park(&mut self, site: Option<&Compact>) -> Result<()>;

    /// The rows that were parked at a site as `groups`, one group after the other, run as one: the
    /// first of them, under its settings; the others are no more. Rows that have left meanwhile are
    /// dropped. Waits for nothing.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] where one is not parked, or another group runs.
    fn gather(&mut self, groups: &[GroupId], site: &Compact) -> Result<()>;

    /// Rows are no more: their slots and places are free, and a group without rows is none. The
    /// caller sees to it that no op will meet them any more: they have been packed away, or nothing
    /// more is issued for their group.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] for a slot that no row has.
    fn retire(&mut self, slots: &[RowSlot]) -> Result<()>;

    /// Retires all rows, once everything issued has run or failed.
    fn clear(&mut self);

    /// Starts over: [`clear`](Self::clear), then [`admit`](Self::admit). The slots of the rows are
    /// 0, 1, 2 .. in their order. For measurements, and whoever knows no other rows.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    fn begin(&mut self, rows: &Admission<'_>) -> Result<()> {
        self.clear();
        self.admit(rows, &mut Vec::with_capacity(rows.rows())).map(|_| ())
    }

    /// Enqueues an op; may return before it ran, never waits for it.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] where an operand lies outside what was reserved, or nobody runs.
    fn issue(&mut self, op: &Op, bound: LiveBound) -> Result<()>;

    /// Appends the exit records that have landed since the last call; never waits.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where the device failed meanwhile.
    fn exits(&mut self, sink: &mut Vec<ExitRecord>) -> Result<()>;

    /// Whether everything issued has run; never waits.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    fn is_done(&mut self) -> Result<bool>;

    /// The logits behind a record that [`exits`](Self::exits) has handed out: one number per class,
    /// temperature applied. Valid until another row has its slot.
    fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32];

    /// Waits until everything issued has run.
    ///
    /// # Errors
    /// [`crate::Error::Device`] where something issued has failed.
    fn finish(&mut self) -> Result<()>;

    /// Fills a span from the host: inputs that are not tokens, and op tests.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] where `values` is longer than the span.
    fn write(&mut self, span: Span, values: &[f32]) -> Result<()>;

    /// Waits, then copies the head of a span to the host.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    fn read(&mut self, span: Span, values: &mut [f32]) -> Result<()>;
}
