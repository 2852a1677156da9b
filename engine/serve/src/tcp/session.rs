//! One connection: frames in, replies out, each bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use offramp::clock;
use offramp_protocol::{
    Failure, Frame, FrameError, HEADER_BYTES, Header, Kind, Reply, Status, split,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout, timeout_at};

use super::options::{ANSWER_BYTES, SessionLimits};
use super::outbox::{Client, Hold, Packet};
use super::request;
use super::shared::Shared;
use crate::metrics::Metrics;

/// What an idle connection keeps of a buffer.
const BUFFER_BYTES: usize = 4096;
/// Longer frames may take a while to read: not where others wait.
const LONG_BYTES: usize = 4096;
/// And still longer ones not in the way of those.
const VERY_LONG_BYTES: usize = 64 << 10;
/// A client that says nothing for so long has read that the connection ends.
const SILENCE: Duration = Duration::from_millis(100);
/// One that talks on is cut off in the end.
const LINGER: Duration = Duration::from_secs(1);
/// Longer than any connection lasts, and well within what clocks can tell.
const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
/// Packets written with one call.
const PACKETS_MAX: usize = 64;

/// Serves a connection until it ends, is of no more use, or `ending` says so.
pub(crate) async fn serve(
    stream: TcpStream,
    shared: Arc<Shared>,
    ending: impl Future<Output = ()>,
) {
    let _ = stream.set_nodelay(true);
    let _counted = Counted::new(shared.state.metrics.clone());
    let (read, write) = stream.into_split();
    let (replies, outbox) = unbounded_channel();
    let mut writer = tokio::spawn(write_replies(write, outbox, shared.limits.frame_timeout));
    let mut reader = Reader::new(read, Client(replies), shared.clone());
    let has_ended = tokio::select! {
        () = reader.run() => false,
        () = ending => false,
        // The client does not take its replies: nothing more is read from it.
        _ = &mut writer => true,
    };
    // The reader's end of the channel goes; the writer ends with the last reply.
    let read = reader.into_inner();
    if !has_ended {
        let _ = writer.await;
        linger(read).await;
    }
}

/// A connection among those open, until it is dropped.
struct Counted(Arc<Metrics>);

impl Counted {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

fn after(wait: Duration) -> Instant {
    (clock::now() + wait.min(FOR_EVER)).into()
}

struct Reader {
    read: OwnedReadHalf,
    client: Client,
    shared: Arc<Shared>,
    /// Bytes of replies that may yet wait to be taken.
    room: Arc<Semaphore>,
    /// Infer requests that may yet be taken on.
    places: Arc<Semaphore>,
    buffer: BytesMut,
}

impl Reader {
    fn new(read: OwnedReadHalf, client: Client, shared: Arc<Shared>) -> Self {
        let room = Arc::new(Semaphore::new(shared.limits.room_bytes()));
        let places = Arc::new(Semaphore::new(shared.limits.in_flight_max));
        let buffer = BytesMut::with_capacity(BUFFER_BYTES);
        Self { read, client, shared, room, places, buffer }
    }

    fn into_inner(self) -> OwnedReadHalf {
        self.read
    }

    async fn run(&mut self) {
        while self.fill().await {
            // Of all frames that are whole by now, though some wait for those before them.
            let arrival_us = self.shared.state.now_us();
            while let Some(is_good) = self.frame(arrival_us).await {
                if !is_good {
                    return;
                }
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
            }
        }
    }

    /// Reads until a frame is whole; false at the end, or where that takes too long.
    async fn fill(&mut self) -> bool {
        let SessionLimits { idle_timeout, frame_timeout, payload_bytes_max, .. } =
            self.shared.limits;
        let mut has_begun = !self.buffer.is_empty();
        let mut until = after(if has_begun { frame_timeout } else { idle_timeout });
        loop {
            match timeout_at(until, self.read.read_buf(&mut self.buffer)).await {
                Ok(Ok(bytes)) if bytes > 0 => {}
                // Waiting for replies is not idle.
                Err(_) if !has_begun && self.is_owed() => until = after(idle_timeout),
                _ => return false,
            }
            if !matches!(split(&self.buffer, payload_bytes_max), Ok(None)) {
                return true;
            }
            if !has_begun && !self.buffer.is_empty() {
                (has_begun, until) = (true, after(frame_timeout));
            }
        }
    }

    /// Whether replies are still to be taken.
    fn is_owed(&self) -> bool {
        self.room.available_permits() < self.shared.limits.room_bytes()
    }

    /// Takes a frame off the buffer; none where it is not whole, false at a bad one.
    async fn frame(&mut self, arrival_us: u64) -> Option<bool> {
        let (header, bytes) = match split(&self.buffer, self.shared.limits.payload_bytes_max) {
            Ok(None) => return None,
            Ok(Some(frame)) => (frame.header, frame.bytes()),
            Err(error) => {
                self.refuse(error);
                return Some(false);
            }
        };
        let hold = self.hold(&header).await?;
        self.take(header, bytes, arrival_us, hold).await;
        self.buffer.advance(bytes);
        Some(true)
    }

    async fn take(&self, header: Header, bytes: usize, arrival_us: u64, hold: Hold) {
        let frame = Frame { header, payload: &self.buffer[HEADER_BYTES..bytes] };
        let (client, shared) = (&self.client, &*self.shared);
        if bytes <= LONG_BYTES {
            return request::take(&frame, arrival_us, hold, client, shared);
        }
        // One of a kind at a time: passes need the other cores.
        let turn = shared.long_frames[usize::from(bytes > VERY_LONG_BYTES)].lock();
        let waited_us = shared.state.now_us().saturating_sub(arrival_us);
        let left_us = header.deadline_us().map(|us| u64::from(us).saturating_sub(waited_us));
        match timeout(left_us.map_or(Duration::MAX, Duration::from_micros), turn).await {
            Ok(_turn) => off_the_loop(|| request::take(&frame, arrival_us, hold, client, shared)),
            Err(_) => request::give_up(&frame, hold, client, shared),
        }
    }

    /// Waits for room for the replies; for a place too, unless the request has a deadline.
    async fn hold(&self, header: &Header) -> Option<Hold> {
        let bytes = reply_bytes(header).min(self.shared.limits.room_bytes());
        let room = self.room.clone().acquire_many_owned(bytes as u32).await.ok()?;
        let place = match (header.kind(), header.deadline_us()) {
            (Some(Kind::Infer), None) => Some(self.places.clone().acquire_owned().await.ok()?),
            (Some(Kind::Infer), Some(_)) => self.places.clone().try_acquire_owned().ok(),
            _ => None,
        };
        Some(Hold { _room: room, place })
    }

    fn refuse(&self, error: FrameError) {
        let (request, status) = match error {
            FrameError::Magic => return,
            FrameError::Version { request, .. } => (request, Status::Unsupported),
            FrameError::TooLarge { request, .. } => (request, Status::TooLarge),
        };
        let failure = Failure::new(status, error.to_string());
        self.client.send(request, Reply::Failure(failure), None);
    }
}

/// Does work that takes a while where no other task waits for it, if the runtime has such a place.
fn off_the_loop(work: impl FnOnce()) {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        _ => work(),
    }
}

/// What a reply takes up, about.
fn reply_bytes(header: &Header) -> usize {
    match header.kind() {
        Some(Kind::Ping) => HEADER_BYTES + header.payload_bytes(),
        Some(Kind::Metadata | Kind::Stats) => 16 << 10,
        _ => ANSWER_BYTES,
    }
}

/// Reads on for a while, in vain: a socket closed with bytes unread takes back what was written
/// to it and not yet read by the other side.
async fn linger(mut read: OwnedReadHalf) {
    let mut bytes = [0; BUFFER_BYTES];
    let until_silent = async {
        while timeout(SILENCE, read.read(&mut bytes)).await.is_ok_and(|n| n.unwrap_or(0) > 0) {}
    };
    let _ = timeout(LINGER, until_silent).await;
}

/// Writes until nobody can send any more; a client that does not take its replies is given up.
async fn write_replies(
    mut write: OwnedWriteHalf,
    mut outbox: UnboundedReceiver<Packet>,
    patience: Duration,
) {
    let mut packets = Vec::with_capacity(PACKETS_MAX);
    let mut bytes = Vec::new();
    while outbox.recv_many(&mut packets, PACKETS_MAX).await > 0 {
        bytes.clear();
        packets.iter().for_each(|packet: &Packet| packet.reply.encode(packet.request, &mut bytes));
        let is_written = matches!(timeout(patience, write.write_all(&bytes)).await, Ok(Ok(())));
        packets.drain(..).for_each(|packet| drop(packet.hold));
        if !is_written {
            return;
        }
    }
}
