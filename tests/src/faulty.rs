//! A CPU that fails when it is told to: for whatever has to live with a device that does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use offramp_kernels::cpu::CpuDevice;
use offramp_kernels::{Admission, Error, Result, Watch, Watched};

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

/// Watches for the time of the fault.
pub struct Faults {
    fault: Fault,
    trigger: Trigger,
}

/// A CPU that works until the trigger is armed, and its time has come.
///
/// # Errors
/// As [`CpuDevice::new`].
pub fn faulty_cpu(fault: Fault, trigger: Trigger) -> Result<Watched<CpuDevice, Faults>> {
    Ok(Watched::new(CpuDevice::new(1)?, Faults { fault, trigger }))
}

impl Watch for Faults {
    fn name(&self, _: String) -> String {
        "faulty cpu".to_owned()
    }

    fn admit(&mut self, _: &Admission<'_>) -> Result<()> {
        if self.trigger.is_due() { self.fail() } else { Ok(()) }
    }
}

impl Faults {
    fn fail(&self) -> Result<()> {
        match self.fault {
            Fault::Lost => {
                let device = "faulty cpu".to_owned();
                let message = "it was lost, as the test asked".to_owned();
                Err(Error::Device { device, message })
            }
            Fault::Panic => panic!("as a device with a defect would"),
            Fault::Hang => loop {
                std::thread::park();
            },
        }
    }
}
