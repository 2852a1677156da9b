//! Graphs: recorded work, and what launches it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::capture;
use crate::context::Context;
use crate::counts;
use crate::error::{Code, Result};
use crate::ffi::{Handle, Out};
use crate::stream;
use crate::table::Table;
use crate::work::{Task, Work};
use crate::worker::Ticket;

/// Graphs of all contexts.
pub(crate) static GRAPHS: Table<Graph> = Table::new();
/// Executable graphs of all contexts.
pub(crate) static EXECS: Table<Exec> = Table::new();
/// Executable graphs that memory is there for.
static ROOM: AtomicU64 = AtomicU64::new(u64::MAX);

/// From now on memory is there for so many executable graphs.
pub(crate) fn limit(room: u64) {
    ROOM.store(room, Ordering::Relaxed);
}

/// `CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH`
const AUTO_FREE: u64 = 1;
/// `CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH`
const DEVICE_LAUNCH: u64 = 4;
/// All flags of an instantiation.
const FLAGS: u64 = 15;

/// Recorded work, parameters and all.
pub(crate) struct Graph {
    pub(crate) context: Arc<Context>,
    pub(crate) nodes: Arc<[Work]>,
}

/// A graph ready to launch.
pub(crate) struct Exec {
    pub(crate) context: Arc<Context>,
    nodes: Arc<[Work]>,
    /// Its last launch: launches of one graph run one after another.
    last: Mutex<Option<Ticket>>,
}

fn exec(exec: Handle) -> Result<Arc<Exec>> {
    let exec = EXECS.get(exec)?;
    exec.context.check()?;
    Ok(exec)
}

/// `cuGraphInstantiateWithFlags`
pub(crate) fn instantiate(out: Out<Handle>, graph: Handle, flags: u64) -> Result {
    out.check()?;
    let graph = GRAPHS.get(graph)?;
    graph.context.check()?;
    if flags & !FLAGS != 0 || flags & (AUTO_FREE | DEVICE_LAUNCH) == AUTO_FREE | DEVICE_LAUNCH {
        return Err(Code::InvalidValue);
    }
    if EXECS.len() as u64 >= ROOM.load(Ordering::Relaxed) {
        return Err(Code::OutOfMemory);
    }
    let (context, nodes) = (Arc::clone(&graph.context), Arc::clone(&graph.nodes));
    out.set(EXECS.insert(Arc::new(Exec { context, nodes, last: Mutex::default() })))
}

/// `cuGraphUpload`: there is nothing to carry over.
pub(crate) fn upload(graph: Handle, stream: Handle) -> Result {
    exec(graph)?;
    let stream = stream::get(stream)?;
    stream::forbid_capture(&stream)
}

/// `cuGraphLaunch`
pub(crate) fn launch(graph: Handle, stream: Handle) -> Result {
    let exec = exec(graph)?;
    let stream = stream::get(stream)?;
    if !Arc::ptr_eq(&exec.context, &stream.context) {
        return Err(Code::InvalidHandle);
    }
    let capture = stream.capture.lock().clone();
    if let Some(capture) = capture {
        return capture.record(exec.nodes.iter().cloned());
    }
    capture::forbid_default(&stream)?;
    let mut last = exec.last.lock();
    if let Some(place) = last.take().filter(|place| !place.is_done()) {
        stream.submit(Task::Wait(place));
    }
    counts::GRAPH_LAUNCHES.add();
    *last = Some(stream.submit(Task::Graph(Arc::clone(&exec.nodes))));
    Ok(())
}

/// `cuGraphExecDestroy`: a launch under way still runs.
pub(crate) fn destroy_exec(graph: Handle) -> Result {
    EXECS.remove(graph)?.context.check()
}

/// `cuGraphDestroy`
pub(crate) fn destroy(graph: Handle) -> Result {
    GRAPHS.remove(graph)?.context.check()
}

/// `cuGraphGetNodes`: how many there are, and names for them that no call takes.
pub(crate) fn nodes(graph: Handle, out: Out<Handle>, count: Out<usize>) -> Result {
    let nodes = GRAPHS.get(graph)?.nodes.len();
    if !out.is_null() {
        for index in 0..count.get()? {
            let name = if index < nodes { graph.0 + index + 1 } else { 0 };
            out.set_at(index, Handle(name))?;
        }
    }
    count.set(nodes)
}
