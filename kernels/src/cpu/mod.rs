//! The CPU as a device.
//!
//! Everything runs while [`Device::issue`] is on the stack: records have landed and spans are
//! written when it returns. Weights are packed once, when they are loaded; [`simd::Isa`] is
//! chosen once, when the device is made.

mod arena;
mod exits;
pub mod gemm;
pub(crate) mod math;
mod parked;
mod rows;
pub mod simd;
pub mod team;
mod weights;

pub use simd::Isa;

pub(crate) use arena::{Arena, Buffer, Shared};
pub(crate) use exits::Exits;
pub(crate) use rows::Rows;
pub(crate) use simd::Simd;
pub(crate) use team::Team;
pub(crate) use weights::Weights;

use crate::ops::{AttentionScratch, ConvScratch, RampScratch};
use crate::{
    Admission, ArenaLayout, Compact, Device, ExitId, ExitRecord, GroupId, LiveBound, Op, Result,
    Room, RowSlot, RowTokens, Span, WeightData, WeightId,
};
use parked::Parked;

/// A CPU with a fixed team of threads.
pub struct CpuDevice {
    pub(crate) simd: Simd,
    pub(crate) team: Team,
    pub(crate) layout: ArenaLayout,
    pub(crate) arena: Arena,
    pub(crate) weights: Weights,
    pub(crate) rows: Rows,
    parked: Parked,
    pub(crate) exits: Exits,
    pub(crate) attention: AttentionScratch,
    pub(crate) ramp: RampScratch,
    pub(crate) conv: ConvScratch,
}

impl CpuDevice {
    /// A device of `threads` threads, the caller's included, with the best instruction set.
    ///
    /// # Errors
    /// [`crate::Error::Mismatch`] for no threads, [`crate::Error::Device`] where the system
    /// refuses to start one.
    pub fn new(threads: usize) -> Result<Self> {
        Self::with_isa(threads, Isa::detect())
    }

    /// A device that uses a certain instruction set.
    ///
    /// # Errors
    /// As [`Self::new`], and [`crate::Error::Mismatch`] where the machine does not have it.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Self> {
        Ok(Self {
            simd: isa.require()?,
            team: Team::new(threads)?,
            layout: ArenaLayout::default(),
            arena: Arena::default(),
            weights: Weights::default(),
            rows: Rows::default(),
            parked: Parked::default(),
            exits: Exits::default(),
            attention: AttentionScratch::default(),
            ramp: RampScratch::default(),
            conv: ConvScratch::default(),
        })
    }

    /// The part of `span` that the live tokens fill.
    pub(crate) fn live(&self, span: Span, tokens: RowTokens, width: usize) -> Span {
        Span { at: span.at, len: self.rows.count(tokens) * width }
    }

    /// The same for a text plan.
    pub(crate) fn packed(&self, span: Span, width: usize) -> Span {
        self.live(span, RowTokens::Own, width)
    }
}

impl Device for CpuDevice {
    fn name(&self) -> String {
        format!("cpu {} x{}", self.simd.isa(), self.team.threads())
    }

    fn reserve(&mut self, layout: &ArenaLayout) -> Result<()> {
        self.arena = Arena::new(layout.activations)?;
        self.weights = Weights::new(&layout.weights)?;
        self.rows = Rows::new(layout)?;
        self.parked = Parked::new(layout)?;
        self.exits = Exits::new(layout)?;
        self.attention = AttentionScratch::new(layout, self.team.threads())?;
        self.ramp = RampScratch::new(layout)?;
        self.conv = ConvScratch::new(layout, self.team.threads())?;
        self.layout = layout.clone();
        Ok(())
    }

    fn reserved_bytes(&self) -> usize {
        self.arena.bytes()
            + self.weights.bytes()
            + self.rows.bytes()
            + self.parked.bytes()
            + self.exits.bytes()
            + self.attention.bytes()
            + self.ramp.bytes()
            + self.conv.bytes()
    }

    fn load(&mut self, weight: WeightId, first_row: usize, data: WeightData<'_>) -> Result<()> {
        self.weights.load(weight, first_row, data)
    }

    fn room(&self) -> Room {
        self.rows.room()
    }

    fn admit(&mut self, rows: &Admission<'_>, slots: &mut Vec<RowSlot>) -> Result<GroupId> {
        self.rows.admit(rows, &self.layout, slots)
    }

    fn park(&mut self, site: Option<&Compact>) -> Result<()> {
        let Some(site) = site else {
            self.rows.end();
            return Ok(());
        };
        site.check_site(&self.layout)?;
        let width = self.parked.width(site)?;
        let x = self.live(site.x, site.tokens, site.width);
        let x = self.arena.slice("parked value", x)?;
        let parked = &mut self.parked;
        self.rows.park(|rows, position, slot| {
            let row = &x[rows.span(position, site.tokens).start * site.width..];
            parked.save(&rows.slots, slot, width, row);
        })
    }

    fn gather(&mut self, groups: &[GroupId], site: &Compact) -> Result<()> {
        site.check_site(&self.layout)?;
        let width = self.parked.width(site)?;
        let x = self.arena.slice_mut("gathered value", site.x)?;
        let parked = &self.parked;
        self.rows.gather(groups, site.tokens == RowTokens::Own, |slots, slot, place| {
            parked.load(slots, slot, width, &mut x[place * width..]);
        })
    }

    fn retire(&mut self, slots: &[RowSlot]) -> Result<()> {
        self.rows.retire(slots)?;
        self.exits.forget(slots);
        Ok(())
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.exits.clear();
    }

    fn issue(&mut self, op: &Op, _bound: LiveBound) -> Result<()> {
        self.rows.slots.require_running()?;
        match op {
            Op::Embed(op) => op.run(self),
            Op::Pixels(op) => op.run(self),
            Op::Patches(op) => op.run(self),
            Op::Conv2d(op) => op.run(self),
            Op::Pool2d(op) => op.run(self),
            Op::Norm(op) => op.run(self),
            Op::Linear(op) => op.run(self),
            Op::Attention(op) => op.run(self),
            Op::Ramp(op) => op.run(self),
            Op::Compact(op) => op.run(self),
            Op::Narrow(op) => op.run(self),
        }
    }

    fn exits(&mut self, sink: &mut Vec<ExitRecord>) -> Result<()> {
        self.exits.drain(sink);
        Ok(())
    }

    fn is_done(&mut self) -> Result<bool> {
        Ok(true)
    }

    fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        self.exits.logits(exit, slot)
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }

    fn write(&mut self, span: Span, values: &[f32]) -> Result<()> {
        self.arena.check("values", span, values.len())?;
        self.arena.slice_mut("span", span)?[..values.len()].copy_from_slice(values);
        Ok(())
    }

    fn read(&mut self, span: Span, values: &mut [f32]) -> Result<()> {
        self.arena.check("values", span, values.len())?;
        values.copy_from_slice(&self.arena.slice("span", span)?[..values.len()]);
        Ok(())
    }
}
