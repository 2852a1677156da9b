//! A device that somebody watches.

use std::time::Duration;

use crate::{
    Admission, ArenaLayout, Compact, Device, ExitId, ExitRecord, GroupId, LiveBound, Op,
    Preferences, Result, Room, RowSlot, Span, WeightData, WeightId,
};

/// Hears of what a device is asked for before the device does. An error is the caller's, who hears
/// of it as of one of the device; the device hears of nothing then.
pub trait Watch: Send {
    /// What people call a device of this name that is watched.
    fn name(&self, device: String) -> String {
        device
    }

    /// Before rows come.
    ///
    /// # Errors
    /// They are not to come.
    fn admit(&mut self, rows: &Admission<'_>) -> Result<()> {
        let _ = rows;
        Ok(())
    }

    /// Before an op is issued.
    ///
    /// # Errors
    /// It is not to run.
    fn issue(&mut self, op: &Op, bound: LiveBound) -> Result<()> {
        let _ = (op, bound);
        Ok(())
    }
}

/// A device and who watches it: for tests and measurements, and as a place to begin a device of
/// one's own.
#[derive(Debug)]
pub struct Watched<D, W> {
    device: D,
    watch: W,
}

impl<D: Device, W: Watch> Watched<D, W> {
    /// `device` does all the work.
    pub fn new(device: D, watch: W) -> Self {
        Self { device, watch }
    }
}

impl<D: Device, W: Watch> Device for Watched<D, W> {
    fn name(&self) -> String {
        self.watch.name(self.device.name())
    }

    fn runs_behind(&self) -> bool {
        self.device.runs_behind()
    }

    fn preferences(&self) -> Preferences {
        self.device.preferences()
    }

    fn time_passes(&mut self, is_timed: bool) -> Result<()> {
        self.device.time_passes(is_timed)
    }

    fn pass_time(&self) -> Result<Option<Duration>> {
        self.device.pass_time()
    }

    fn reserve(&mut self, layout: &ArenaLayout) -> Result<()> {
        self.device.reserve(layout)
    }

    fn reserved_bytes(&self) -> usize {
        self.device.reserved_bytes()
    }

    fn load(&mut self, weight: WeightId, first_row: usize, data: WeightData<'_>) -> Result<()> {
        self.device.load(weight, first_row, data)
    }

    fn stage(&mut self, images: &[u8], from: usize) -> Result<usize> {
        self.device.stage(images, from)
    }

    fn room(&self) -> Room {
        self.device.room()
    }

    fn admit(&mut self, rows: &Admission<'_>, slots: &mut Vec<RowSlot>) -> Result<GroupId> {
        self.watch.admit(rows)?;
        self.device.admit(rows, slots)
    }

    fn park(&mut self, site: Option<&Compact>) -> Result<()> {
        self.device.park(site)
    }

    fn gather(&mut self, groups: &[GroupId], site: &Compact) -> Result<()> {
        self.device.gather(groups, site)
    }

    fn retire(&mut self, slots: &[RowSlot]) -> Result<()> {
        self.device.retire(slots)
    }

    fn clear(&mut self) {
        self.device.clear();
    }

    fn issue(&mut self, op: &Op, bound: LiveBound) -> Result<()> {
        self.watch.issue(op, bound)?;
        self.device.issue(op, bound)
    }

    fn exits(&mut self, sink: &mut Vec<ExitRecord>) -> Result<()> {
        self.device.exits(sink)
    }

    fn is_done(&mut self) -> Result<bool> {
        self.device.is_done()
    }

    fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        self.device.logits(exit, slot)
    }

    fn finish(&mut self) -> Result<()> {
        self.device.finish()
    }

    fn write(&mut self, span: Span, values: &[f32]) -> Result<()> {
        self.device.write(span, values)
    }

    fn read(&mut self, span: Span, values: &mut [f32]) -> Result<()> {
        self.device.read(span, values)
    }
}
