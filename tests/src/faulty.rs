//! A CPU that fails when it is told to: for whatever has to live with a device that does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use offramp_kernels::cpu::CpuDevice;
use offramp_kernels::{
    Admission, ArenaLayout, Compact, Device, Error, ExitId, ExitRecord, GroupId, LiveBound, Op,
    Result, Room, RowSlot, Span, WeightData, WeightId,
};

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says that it is lost, as a GPU does.
    Lost,
    /// Its code panics.
    Panic,
    /// It does not come back.
    Hang,
}

/// Sets the time of the fault.
#[derive(Clone, Debug, Default)]
pub struct Trigger(Arc<AtomicUsize>);

impl Trigger {
    /// The `nth` admission of rows from now on fails; 1 is the next.
    pub fn arm(&self, nth: usize) {
        self.0.store(nth, Ordering::SeqCst);
    }

    /// Whether it is time.
    fn is_due(&self) -> bool {
        let count = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1)
    }
}

/// The device.
pub struct FaultyDevice {
    cpu: CpuDevice,
    fault: Fault,
    trigger: Trigger,
}

impl FaultyDevice {
    /// Works until the trigger is armed, and its time has come.
    ///
    /// # Errors
    /// As [`CpuDevice::new`].
    pub fn new(fault: Fault, trigger: Trigger) -> Result<Self> {
        Ok(Self { cpu: CpuDevice::new(1)?, fault, trigger })
    }

    fn fail(&self) -> Result<()> {
        match self.fault {
            Fault::Lost => {
                let message = "it was lost, as the test asked".to_owned();
                Err(Error::Device { device: self.name(), message })
            }
            Fault::Panic => panic!("as a device with a defect would"),
            Fault::Hang => loop {
                std::thread::park();
            },
        }
    }
}

impl Device for FaultyDevice {
    fn name(&self) -> String {
        "faulty cpu".to_owned()
    }

    fn reserve(&mut self, layout: &ArenaLayout) -> Result<()> {
        self.cpu.reserve(layout)
    }

    fn reserved_bytes(&self) -> usize {
        self.cpu.reserved_bytes()
    }

    fn load(&mut self, weight: WeightId, first_row: usize, data: WeightData<'_>) -> Result<()> {
        self.cpu.load(weight, first_row, data)
    }

    fn room(&self) -> Room {
        self.cpu.room()
    }

    fn admit(&mut self, rows: &Admission<'_>, slots: &mut Vec<RowSlot>) -> Result<GroupId> {
        if self.trigger.is_due() {
            self.fail()?;
        }
        self.cpu.admit(rows, slots)
    }

    fn park(&mut self, site: Option<&Compact>) -> Result<()> {
        self.cpu.park(site)
    }

    fn gather(&mut self, groups: &[GroupId], site: &Compact) -> Result<()> {
        self.cpu.gather(groups, site)
    }

    fn retire(&mut self, slots: &[RowSlot]) -> Result<()> {
        self.cpu.retire(slots)
    }

    fn clear(&mut self) {
        self.cpu.clear();
    }

    fn issue(&mut self, op: &Op, bound: LiveBound) -> Result<()> {
        self.cpu.issue(op, bound)
    }

    fn exits(&mut self, sink: &mut Vec<ExitRecord>) -> Result<()> {
        self.cpu.exits(sink)
    }

    fn is_done(&mut self) -> Result<bool> {
        self.cpu.is_done()
    }

    fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        self.cpu.logits(exit, slot)
    }

    fn finish(&mut self) -> Result<()> {
        self.cpu.finish()
    }

    fn write(&mut self, span: Span, values: &[f32]) -> Result<()> {
        self.cpu.write(span, values)
    }

    fn read(&mut self, span: Span, values: &mut [f32]) -> Result<()> {
        self.cpu.read(span, values)
    }
}
