//! Launches on their way to the device.
//!
//! Launches collect until the host wants to see something, and then go out together. A sequence
//! that has come a few times is recorded as a graph, and from then on one call launches it.
//! Everything that varies between passes lies in device memory, so equal shapes make equal
//! sequences. Recording takes as long as many launches, so it waits until a pass has ended.

use std::collections::HashMap;
use std::sync::Arc;

use super::clock::PassClock;
use super::kernels::Kernels;
use super::launch::Launch;
use super::stream::{Begin, Graph, Stream};
use crate::Result;

/// Launches that collect at most: more than a segment of any model.
const PENDING_MAX: usize = 256;
/// Sequences remembered at most.
const SEQUENCES_MAX: usize = 1024;
/// Times a sequence must have come before it is worth a graph: making one costs about as much as
/// launching it that often.
const SIGHTS_MIN: u32 = 4;

/// What is known of a sequence.
enum Sequence {
    /// It came so many times.
    Seen(u32),
    Recorded(Graph),
}

/// The stream, what waits to go into it, and the graphs.
///
/// Dropped in this order: graphs before the kernels they launch, the stream last.
pub(super) struct Queue {
    /// The sequences that have come.
    sequences: HashMap<Box<[Launch]>, Sequence>,
    /// Sequences that have come often enough to be recorded.
    due: Vec<Box<[Launch]>>,
    pending: Vec<Launch>,
    kernels: Arc<Kernels>,
    /// Times passes, where that was asked for.
    pub(super) clock: Option<PassClock>,
    pub(super) stream: Stream,
}

impl Queue {
    pub(super) fn new(kernels: Arc<Kernels>) -> Result<Self> {
        let stream = Stream::new(kernels.context())?;
        let pending = Vec::with_capacity(PENDING_MAX);
        Ok(Self {
            sequences: HashMap::new(),
            due: Vec::new(),
            pending,
            kernels,
            clock: None,
            stream,
        })
    }

    /// The kernels that launches may name.
    pub(super) fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    pub(super) fn push(&mut self, launch: Launch) -> Result<()> {
        if self.pending.len() == PENDING_MAX {
            self.flush()?;
        }
        self.pending.push(launch);
        Ok(())
    }

    /// Sends off what has collected. Waits for nothing.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.stream.context().enter()?;
        let sent = self.send();
        self.pending.clear();
        sent?;
        self.clock.as_mut().map_or(Ok(()), |clock| clock.end(&self.stream))
    }

    fn send(&mut self) -> Result<()> {
        let Self { sequences, due, pending, kernels, stream, .. } = self;
        match sequences.get_mut(pending.as_slice()) {
            Some(Sequence::Recorded(graph)) => return stream.replay(graph),
            Some(Sequence::Seen(sights)) => {
                *sights += 1;
                if *sights == SIGHTS_MIN {
                    due.push(pending.as_slice().into());
                }
            }
            None => remember(sequences, pending),
        }
        enqueue(stream, kernels, pending)
    }

    /// Records one sequence that is due, between two passes. Where there is no memory for its graph
    /// it goes on as launches, which give the same.
    pub(super) fn record_due(&mut self) -> Result<()> {
        let Some(sequence) = self.due.pop() else { return Ok(()) };
        let recorded = self.stream.record(|| enqueue(&self.stream, &self.kernels, &sequence))?;
        if let (Some(graph), Some(known)) = (recorded, self.sequences.get_mut(&sequence)) {
            *known = Sequence::Recorded(graph);
        }
        Ok(())
    }

    /// The rows of a pass have been enqueued: its time begins.
    pub(super) fn start_clock(&mut self) -> Result<()> {
        self.clock.as_mut().map_or(Ok(()), |clock| clock.start(&self.stream))
    }

    /// Sends off what has collected and waits for all of it.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.flush()?;
        self.stream.finish()
    }

    /// Sends off what has collected; whether all of it has run. Waits for nothing.
    pub(super) fn is_done(&mut self) -> Result<bool> {
        self.flush()?;
        self.stream.is_done()
    }

    /// Forgets all sequences: memory lies elsewhere from now on.
    pub(super) fn forget(&mut self) {
        self.pending.clear();
        self.due.clear();
        self.sequences.clear();
    }

    /// Forgets what has collected.
    pub(super) fn discard(&mut self) {
        self.pending.clear();
    }
}

/// Puts launches into the stream. The first may stand behind a copy or a graph and waits for it;
/// each of the others begins as early as it can.
fn enqueue(stream: &Stream, kernels: &Kernels, launches: &[Launch]) -> Result<()> {
    for (index, launch) in launches.iter().enumerate() {
        let is_early = index > 0 && kernels.overlap();
        let begin = if is_early { Begin::Early } else { Begin::Behind };
        stream.launch(kernels.get(launch.kernel)?, launch, begin)?;
    }
    Ok(())
}

/// Notes a new sequence. Where there is no room, those without a graph make room.
fn remember(sequences: &mut HashMap<Box<[Launch]>, Sequence>, sequence: &[Launch]) {
    if sequences.len() == SEQUENCES_MAX {
        sequences.retain(|_, known| matches!(known, Sequence::Recorded(_)));
    }
    if sequences.len() < SEQUENCES_MAX {
        sequences.insert(sequence.into(), Sequence::Seen(1));
    }
}
