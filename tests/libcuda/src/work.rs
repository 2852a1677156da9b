//! What streams and graphs are made of.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::Context;
use crate::copy;
use crate::error::Code;
use crate::event::Event;
use crate::ffi::Host;
use crate::heap::Heap;
use crate::launch::Call;
use crate::settings::SETTINGS;
use crate::worker::Ticket;

/// One entry of a stream's queue.
pub(crate) enum Task {
    /// Work of its own.
    Work(Work),
    /// The work of a graph, in order.
    Graph(Arc<[Work]>),
    /// Waits for a place in another stream.
    Wait(Ticket),
    /// Tells an event, if it was not recorded again since.
    Record(Arc<Event>, u64),
}

/// What the device does. It takes what it needs when it runs, and not before.
#[derive(Clone)]
pub(crate) enum Work {
    /// Runs a kernel.
    Launch(Arc<Call>),
    /// Copies between places the device sees: its memory and pinned memory of the host.
    Copy { to: u64, from: u64, bytes: u64 },
    /// Writes bytes taken from the host at the call.
    Write { to: u64, bytes: Arc<[u8]> },
    /// Sets every byte.
    Fill { to: u64, byte: u8, bytes: u64 },
    /// Copies to pageable memory of a host that waits.
    Fetch { to: Host, from: u64, bytes: u64 },
    /// Releases a block that was taken back.
    Free(u64),
}

/// Why work failed.
struct Failure {
    code: Code,
    why: String,
}

impl Task {
    /// Performs it; after a fault of the context nothing runs any more.
    pub(crate) fn perform(self, context: &Context) {
        match self {
            Self::Work(work) => run(&work, context),
            Self::Graph(nodes) => nodes.iter().for_each(|work| run(work, context)),
            Self::Wait(ticket) => ticket.wait(),
            Self::Record(event, recording) => event.reach(recording),
        }
    }
}

fn run(work: &Work, context: &Context) {
    if context.check().is_err() {
        return;
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| work.run(&context.heap)));
    let failure = match outcome {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure { code: Code::LaunchFailed, why: message(&*panic) },
    };
    context.fail(failure.code, &failure.why);
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a message"))
}

impl Work {
    fn run(&self, heap: &Heap) -> Result<(), Failure> {
        match *self {
            Self::Launch(ref call) => {
                fail_where_asked()?;
                call.run(heap)
                    .map_err(|fault| Failure { code: Code::LaunchFailed, why: fault.to_string() })
            }
            Self::Copy { to, from, bytes } => {
                copy::dawdle();
                let copy = read(heap, from, bytes)?;
                heap.memory.write(to, &copy).map_err(illegal)
            }
            Self::Write { to, ref bytes } => heap.memory.write(to, bytes).map_err(illegal),
            Self::Fill { to, byte, bytes } => heap.memory.fill(to, byte, bytes).map_err(illegal),
            Self::Fetch { to, from, bytes } => {
                to.write(&read(heap, from, bytes)?);
                Ok(())
            }
            Self::Free(address) => {
                heap.release(address);
                Ok(())
            }
        }
    }
}

/// Lets programs meet a lost device.
fn fail_where_asked() -> Result<(), Failure> {
    static LAUNCHES: AtomicU64 = AtomicU64::new(0);
    let number = LAUNCHES.fetch_add(1, Ordering::Relaxed) + 1;
    if number == SETTINGS.failing_launch {
        let why = format!("launch {number} fails because OFFRAMP_SIM_FAILING_LAUNCH says so");
        return Err(Failure { code: Code::LaunchFailed, why });
    }
    Ok(())
}

fn read(heap: &Heap, from: u64, bytes: u64) -> Result<Vec<u8>, Failure> {
    let mut copy = vec![0; bytes as usize];
    heap.memory.read(from, &mut copy).map_err(illegal)?;
    Ok(copy)
}

fn illegal(error: offramp_ptxsim::AccessError) -> Failure {
    Failure { code: Code::IllegalAddress, why: format!("copy or fill: {error}") }
}
