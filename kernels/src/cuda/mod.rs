//! CUDA as a device.
//!
//! ```text
//! executor thread                                  stream
//! admit     ── rows, in one copy ───────────────►  block in device memory
//! stage     ── images of the next rows, in parts ► another one, by a stream of its own
//! issue(op) ── a launch, collected
//! exits     ── a graph or launches, no waiting ──► kernels ──► records in mapped memory
//!           ◄─ whatever records have landed ───────────────────────┘
//! finish    ── waits
//! ```
//!
//! Between `admit` and `finish` no call waits for the device. Row and token counts live in device
//! memory; launches are as large as the host's last known bound, and blocks past the counts leave
//! before they load anything. Rows that leave are taken out by maps, and parked groups become one
//! by a map; nothing moves (the `values` module).
//!
//! All kernels for products make the same chain of products and sums, so the tile size changes
//! no bit. Passes of few tokens cut the sum over `k` into shares ([`Tuning::split_tokens`]); a
//! token's result then depends on that, and on nothing else in its batch. Convolutions are never
//! cut.
//!
//! In a group of images an entry of a map stands for a whole image (the `rows` module).

mod clock;
mod cover;
mod driver;
mod elem;
mod entry;
mod event;
mod exits;
mod gpu;
mod images;
pub(crate) mod kernels;
pub(crate) mod launch;
mod memory;
mod module;
mod queue;
mod reserved;
mod rows;
mod stream;
mod table;
mod tile;
mod transfer;
mod values;
mod weights;

pub use driver::{DRIVER_VARIABLE, Unavailable, use_driver};
pub use elem::Elem;
pub use gpu::{Gpu, gpus};
pub use kernels::{ShippedKernel, shipped_kernels};
pub use tile::{Tile, Tuning};

pub(crate) use cover::{Cover, round_up};
pub(crate) use driver::Address;
pub(crate) use kernels::Kernel;
pub(crate) use launch::{Arguments, Launch, parameters};
pub(crate) use reserved::Reserved;
pub(crate) use table::{Table, TableParameters};

use std::time::Duration;

use crate::ops::{MOMENT_COLUMNS, linear_workspace};
use crate::{
    Admission, ArenaLayout, Compact, Device, Error, ExitId, ExitRecord, GroupId, LiveBound, Op,
    Preferences, Result, Room, RowSlot, Span, WeightData, WeightId,
};
use clock::PassClock;
use cover::check_grids;
use exits::Exits;
use kernels::Kernels;
use memory::DeviceMemory;
use queue::Queue;
use rows::Rows;
use values::Values;
use weights::Weights;

/// A CUDA device.
pub struct CudaDevice {
    gpu: Gpu,
    elem: Elem,
    pub(crate) tuning: Tuning,
    queue: Queue,
    pub(crate) layout: ArenaLayout,
    /// Device memory of the layout; none before `reserve`.
    reserved: Option<Reserved>,
    /// What made every further call fail.
    broken: Option<String>,
}

/// A value as kernels take it.
#[derive(Clone, Copy)]
pub(crate) struct Value {
    /// Its first element.
    pub(crate) at: Address,
    /// Its map; 0 where it is packed.
    pub(crate) map: Address,
}

impl Value {
    /// Whether rows of `width` elements begin on boundaries of 16 bytes.
    pub(crate) fn is_aligned(&self, width: usize) -> bool {
        self.at.is_multiple_of(16) && width.is_multiple_of(8)
    }
}

impl CudaDevice {
    /// Opens a device for a storage format. Kernels are loaded when they are first launched.
    ///
    /// # Errors
    /// [`Error::Device`] where there is none, or it cannot run the kernels.
    pub fn new(ordinal: usize, elem: Elem) -> Result<Self> {
        let gpus = gpus().map_err(|reason| unusable(&reason.to_string()))?;
        let count = gpus.len();
        let Some(gpu) = gpus.into_iter().nth(ordinal) else {
            return Err(unusable(&format!("device {ordinal}: there are {count}, from 0")));
        };
        if let Some(refusal) = gpu.refusal() {
            return Err(unusable(&format!("{}: {refusal}", gpu.name)));
        }
        let queue = Queue::new(Kernels::of(&gpu, elem)?)?;
        let tuning = Tuning { split_tokens: 256, tile: None };
        let layout = ArenaLayout::default();
        Ok(Self { gpu, elem, tuning, queue, layout, reserved: None, broken: None })
    }

    /// The same with products cut otherwise, for measurements and tests.
    pub fn with_tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Notes an error that the device will not recover from.
    fn guard<T>(&mut self, result: Result<T>) -> Result<T> {
        if let Err(Error::Device { message, .. }) = &result {
            self.broken = Some(message.clone());
            self.queue.discard();
        }
        result
    }

    fn check_whole(&self) -> Result<()> {
        match &self.broken {
            Some(message) => Err(Error::Device {
                device: self.name(),
                message: format!("failed before: {message}"),
            }),
            None => Ok(()),
        }
    }

    pub(crate) fn reserved(&mut self) -> Result<&mut Reserved> {
        self.reserved
            .as_mut()
            .ok_or_else(|| Error::mismatch("device", "reserve first", "no memory"))
    }

    /// Where a value lies.
    fn address(&mut self, span: Span) -> Result<Address> {
        let first = (span.at * self.elem.bytes()) as u64;
        Ok(self.reserved()?.arena.address() + first)
    }

    /// A value in the arena, as the running group has it.
    pub(crate) fn value(&mut self, span: Span) -> Result<Value> {
        let at = self.address(span)?;
        let reserved = self.reserved()?;
        let table = reserved.rows.table()?;
        let map = reserved.values.map(span).address(&table);
        Ok(Value { at, map })
    }

    /// The best of `tiles`, given with the kernel that makes it, for a product of so many tokens
    /// and outputs. Those that do not fit this device do not count.
    pub(crate) fn tile(
        &self,
        tiles: &[(Tile, Kernel)],
        tokens: usize,
        outputs: usize,
    ) -> Option<(Tile, Kernel)> {
        let fitting = tiles.iter().copied().filter(|&(_, kernel)| self.fits(kernel));
        let wanted = fitting.clone().find(|&(tile, _)| Some(tile) == self.tuning.tile);
        wanted.or_else(|| {
            let cycles = |tile: Tile| tile.cycles(tokens, outputs, self.gpu.multiprocessors);
            fitting.min_by(|a, b| cycles(a.0).total_cmp(&cycles(b.0)))
        })
    }

    /// Whether a block of `kernel` has the shared memory that it needs.
    pub(crate) fn fits(&self, kernel: Kernel) -> bool {
        self.shared_bytes(kernel) as usize <= self.gpu.block_shared_bytes
    }

    /// Dynamic shared memory that a block of `kernel` has, in bytes.
    pub(crate) fn shared_bytes(&self, kernel: Kernel) -> u32 {
        kernel.shared_bytes(self.elem)
    }

    /// Whether a block of `kernel` may have so many bytes of dynamic shared memory here.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where it is more than this device has; the device goes on.
    pub(crate) fn check_shared(&self, kernel: Kernel, bytes: usize) -> Result<()> {
        let most = self.queue.kernels().shared_bytes_max(kernel) as usize;
        if bytes > most {
            let expected = format!("at most {most} bytes of shared memory on this device");
            return Err(Error::mismatch(kernel.entry(), expected, bytes));
        }
        Ok(())
    }

    /// Collects a launch.
    ///
    /// # Errors
    /// As [`Self::check_shared`].
    pub(crate) fn push(&mut self, launch: Launch) -> Result<()> {
        self.check_shared(launch.kernel, launch.shared_bytes as usize)?;
        let pushed = self.queue.push(launch);
        self.guard(pushed)
    }

    /// What a launch must cover: the bound, or what the group began with where that is less,
    /// rounded up so that few shapes occur and graphs serve again. Up to four rows are not: most
    /// blocks would have nobody to work for.
    pub(crate) fn cover(&mut self, bound: LiveBound) -> Result<Cover> {
        let rows = &self.reserved()?.rows;
        let tokens = bound.tokens.min(rows.token_count());
        Ok(Cover {
            rows: round_up(bound.rows.min(rows.count()), 1),
            tokens: round_up(tokens, 64),
            longest: round_up(rows.longest().min(bound.tokens), 64),
            pass_tokens: rows.token_count(),
        })
    }

    fn wait(&mut self) -> Result<()> {
        let finished = self.queue.finish();
        self.guard(finished)?;
        if let Some(Reserved { exits, rows, .. }) = &mut self.reserved {
            exits.settle(rows.number());
        }
        Ok(())
    }

    /// Waits if this exit has spoken of rows of this group already: its records are read before it
    /// speaks again.
    pub(crate) fn settle_exit(&mut self, exit: ExitId) -> Result<()> {
        let reserved = self.reserved()?;
        let rows = reserved.rows.slots.running_members();
        if reserved.exits.is_open(exit, rows) { self.wait() } else { Ok(()) }
    }

    /// Sends the rows of a group, once the device has taken over what lay in their place; gives the
    /// number of their admission.
    fn send(&mut self, group: GroupId, rows: &Admission<'_>, is_alone: bool) -> Result<u64> {
        let reserved = self.reserved()?;
        let heard = reserved.exits.heard();
        if !(reserved.rows.is_taken_over(group, heard) && reserved.rows.has_image_room(heard)) {
            self.wait()?;
        }
        let Self { reserved: Some(reserved), queue, .. } = self else {
            return self.reserved().map(|_| 0);
        };
        queue.flush()?;
        let number = reserved.rows.send(&queue.stream, group, rows, is_alone)?;
        // Beside the copy, and before anything of these rows is launched.
        queue.record_due()?;
        queue.start_clock()?;
        Ok(number)
    }
}

/// The device under this name before it is open.
fn unusable(message: &str) -> Error {
    Error::Device { device: "cuda".into(), message: message.into() }
}

/// Mean and squares of every so many columns of each vector, as f32.
fn moment_tables(stream: &stream::Stream, layout: &ArenaLayout) -> Result<Vec<DeviceMemory>> {
    let bytes = |width: &usize| {
        let blocks = width.div_ceil(MOMENT_COLUMNS);
        layout.tokens_max.saturating_mul(blocks).saturating_mul(2 * size_of::<f32>())
    };
    layout.moments.iter().map(|width| DeviceMemory::new(stream, "moments", bytes(width))).collect()
}

impl Device for CudaDevice {
    fn name(&self) -> String {
        format!("cuda {} {}", self.gpu.name, self.elem.name())
    }

    fn runs_behind(&self) -> bool {
        true
    }

    /// Eight elements of two bytes are the 16 bytes of one copy.
    fn preferences(&self) -> Preferences {
        Preferences { channel_step: 8, takes_norms: true }
    }

    fn time_passes(&mut self, is_timed: bool) -> Result<()> {
        self.check_whole()?;
        self.wait()?;
        let clock = is_timed.then(|| PassClock::new(self.queue.stream.context()));
        self.queue.clock = clock.transpose()?;
        Ok(())
    }

    fn pass_time(&self) -> Result<Option<Duration>> {
        self.check_whole()?;
        self.queue.clock.as_ref().map_or(Ok(None), PassClock::elapsed)
    }

    fn reserve(&mut self, layout: &ArenaLayout) -> Result<()> {
        self.check_whole()?;
        check_grids(layout)?;
        self.reserved = None;
        self.queue.forget();
        let stream = &self.queue.stream;
        let bytes = layout.activations.saturating_mul(self.elem.bytes());
        let (partial, arrivals) = linear_workspace(layout, &self.tuning);
        self.reserved = Some(Reserved {
            arena: DeviceMemory::new(stream, "activations", bytes)?,
            weights: Weights::new(stream, self.elem, layout)?,
            rows: Rows::new(stream, layout)?,
            exits: Exits::new(stream, layout)?,
            values: Values::new(layout),
            moments: moment_tables(stream, layout)?,
            partial: DeviceMemory::new(stream, "partial sums", partial)?,
            arrivals: DeviceMemory::zeroed(stream, "partial sums", arrivals)?,
        });
        self.layout = layout.clone();
        Ok(())
    }

    fn reserved_bytes(&self) -> usize {
        self.reserved.as_ref().map_or(0, Reserved::bytes)
    }

    fn load(&mut self, weight: WeightId, first_row: usize, data: WeightData<'_>) -> Result<()> {
        self.check_whole()?;
        let Some(reserved) = &self.reserved else { return self.reserved().map(|_| ()) };
        let loaded = reserved.weights.load(&self.queue.stream, weight, first_row, data);
        self.guard(loaded)
    }

    fn stage(&mut self, images: &[u8], from: usize) -> Result<usize> {
        self.check_whole()?;
        let reserved = self.reserved()?;
        let staged = reserved.rows.stage(images, from, reserved.exits.heard());
        self.guard(staged)
    }

    fn room(&self) -> Room {
        let nothing = Room { rows: 0, places: 0, groups: 0 };
        self.reserved.as_ref().map_or(nothing, |reserved| reserved.rows.room())
    }

    fn admit(&mut self, rows: &Admission<'_>, slots: &mut Vec<RowSlot>) -> Result<GroupId> {
        self.check_whole()?;
        rows.check(&self.layout)?;
        let image_tokens = self.layout.image_tokens;
        let known = &mut self.reserved()?.rows.slots;
        let is_alone = known.are_free();
        let group = known.admit(rows.places(image_tokens))?;
        let sent = self.send(group, rows, is_alone);
        let reserved = self.reserved()?;
        let own = reserved.rows.slots.members(group);
        let Ok(number) = sent else {
            let own = own.to_vec();
            reserved.rows.slots.retire(&own)?;
            return self.guard(sent.map(|_| group));
        };
        reserved.exits.admit(own, number);
        slots.extend_from_slice(own);
        reserved.values.clear();
        Ok(group)
    }

    fn park(&mut self, site: Option<&Compact>) -> Result<()> {
        self.check_whole()?;
        if let Some(site) = site {
            site.check_site(&self.layout)?;
            self.reserved()?.rows.slots.check_park()?;
        }
        self.reserved()?.rows.slots.park();
        Ok(())
    }

    fn gather(&mut self, groups: &[GroupId], site: &Compact) -> Result<()> {
        self.check_whole()?;
        site.check_site(&self.layout)?;
        self.reserved()?.rows.slots.check_gather(groups)?;
        Compact::launch_gather(self, groups)
    }

    fn retire(&mut self, slots: &[RowSlot]) -> Result<()> {
        let reserved = self.reserved()?;
        reserved.rows.slots.retire(slots)?;
        reserved.exits.retire(slots);
        Ok(())
    }

    fn clear(&mut self) {
        // A device that failed has nothing running.
        let _ = self.wait();
        if let Some(reserved) = &mut self.reserved {
            reserved.rows.slots.clear();
            reserved.exits.clear();
            reserved.values.clear();
        }
    }

    fn issue(&mut self, op: &Op, bound: LiveBound) -> Result<()> {
        self.check_whole()?;
        self.reserved()?.rows.slots.require_running()?;
        match op {
            Op::Embed(op) => op.launch(self, bound),
            Op::Pixels(op) => op.launch(self, bound),
            Op::Patches(op) => op.launch(self, bound),
            Op::Conv2d(op) => op.launch(self, bound),
            Op::Pool2d(op) => op.launch(self, bound),
            Op::Norm(op) => op.launch(self, bound),
            Op::Linear(op) => op.launch(self, bound),
            Op::Attention(op) => op.launch(self, bound),
            Op::Ramp(op) => op.launch(self, bound),
            Op::Compact(op) => op.launch(self, bound),
            Op::Narrow(op) => op.launch(self, bound),
        }
    }

    fn exits(&mut self, sink: &mut Vec<ExitRecord>) -> Result<()> {
        self.check_whole()?;
        let flushed = self.queue.flush();
        self.guard(flushed)?;
        if let Some(reserved) = &mut self.reserved {
            reserved.exits.drain(sink);
        }
        Ok(())
    }

    fn is_done(&mut self) -> Result<bool> {
        self.check_whole()?;
        let done = self.queue.is_done();
        self.guard(done)
    }

    fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        self.reserved.as_ref().map_or(&[], |reserved| reserved.exits.logits(exit, slot))
    }

    fn finish(&mut self) -> Result<()> {
        self.check_whole()?;
        self.wait()
    }

    fn write(&mut self, span: Span, values: &[f32]) -> Result<()> {
        self.write_value(span, values)
    }

    fn read(&mut self, span: Span, values: &mut [f32]) -> Result<()> {
        self.read_value(span, values)
    }
}

impl Drop for CudaDevice {
    fn drop(&mut self) {
        // Memory goes only when nothing uses it any more. A failed device has nothing running.
        let _ = self.queue.stream.finish();
    }
}
