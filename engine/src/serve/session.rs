//! One connection: frames in, replies out, each bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::inbox::{Client, Job, Packet, Promise};
use super::protocol::{
    Failure, Frame, FrameError, HEADER_BYTES, Infer, InferOptions, Input, Kind, Reply, Status,
    split,
};
use super::state::{Life, State};
use crate::{InputError, Picture, Row};

/// What an idle connection keeps of a buffer.
const BUFFER_BYTES: usize = 4096;
/// Packets written with one call.
const PACKETS_MAX: usize = 64;

/// Serves a connection until it ends, is of no more use, or `ending` says so.
pub(super) async fn serve(stream: TcpStream, state: Arc<State>, ending: impl Future<Output = ()>) {
    let _ = stream.set_nodelay(true);
    state.metrics.connections.inc();
    let (read, write) = stream.into_split();
    let (replies, outbox) = unbounded_channel();
    let mut writer = tokio::spawn(write_replies(write, outbox, state.limits.frame_timeout));
    let reader = Reader::new(read, Client(replies), state.clone());
    let has_ended = tokio::select! {
        () = reader.run() => false,
        () = ending => false,
        // The client does not take its replies: nothing more is read from it.
        _ = &mut writer => true,
    };
    if !has_ended {
        // The reader's end of the channel is gone; the writer ends with the last promise.
        let _ = writer.await;
    }
    state.metrics.connections.dec();
}

struct Reader {
    read: OwnedReadHalf,
    client: Client,
    state: Arc<State>,
    in_flight: Arc<Semaphore>,
    buffer: BytesMut,
}

impl Reader {
    fn new(read: OwnedReadHalf, client: Client, state: Arc<State>) -> Self {
        let in_flight = Arc::new(Semaphore::new(state.limits.in_flight_max));
        Self { read, client, state, in_flight, buffer: BytesMut::with_capacity(BUFFER_BYTES) }
    }

    async fn run(mut self) {
        while self.fill().await {
            while let Some(is_good) = self.frame().await {
                if !is_good {
                    return;
                }
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
            }
        }
    }

    /// Reads on; false at the end, or where that takes too long.
    async fn fill(&mut self) -> bool {
        let limits = self.state.limits;
        loop {
            let is_partial = !self.buffer.is_empty();
            let wait = if is_partial { limits.frame_timeout } else { limits.idle_timeout };
            let whole = async {
                loop {
                    if self.read.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                        return false;
                    }
                    if !matches!(split(&self.buffer, limits.payload_bytes_max), Ok(None)) {
                        return true;
                    }
                }
            };
            match timeout(wait, whole).await {
                Ok(is_whole) => return is_whole,
                Err(_) if is_partial => return false,
                // Begun in time, or waiting for replies: neither is idle.
                Err(_) if !self.buffer.is_empty() => {}
                Err(_) if self.in_flight.available_permits() < limits.in_flight_max => {}
                Err(_) => return false,
            }
        }
    }

    /// Takes a frame off the buffer; none where it is not whole, false at a bad one.
    async fn frame(&mut self) -> Option<bool> {
        let (header, bytes) = match split(&self.buffer, self.state.limits.payload_bytes_max) {
            Ok(None) => return None,
            Ok(Some(frame)) => (frame.header, frame.bytes()),
            Err(error) => {
                self.refuse(error);
                return Some(false);
            }
        };
        let arrival_us = self.state.now_us();
        let permit = self.in_flight.clone().acquire_owned().await.ok()?;
        let frame = Frame { header, payload: &self.buffer[HEADER_BYTES..bytes] };
        handle(&frame, arrival_us, permit, &self.client, &self.state);
        self.buffer.advance(bytes);
        Some(true)
    }

    fn refuse(&self, error: FrameError) {
        let (request, status) = match error {
            FrameError::Magic => return,
            FrameError::Version { request, .. } => (request, Status::Unsupported),
            FrameError::TooLarge { request, .. } => (request, Status::TooLarge),
        };
        let failure = Failure::new(status, error.to_string());
        self.client.send(request, &Reply::Failure(failure), None);
    }
}

fn handle(
    frame: &Frame<'_>,
    arrival_us: u64,
    permit: OwnedSemaphorePermit,
    client: &Client,
    state: &State,
) {
    let request = frame.header.request();
    let reply = match frame.header.kind() {
        Some(Kind::Infer) => {
            let promise = Promise::new(client.clone(), request, permit, state.metrics.clone());
            return infer(frame, arrival_us, promise, state);
        }
        Some(Kind::Ping) => Reply::Pong(frame.payload.to_vec()),
        Some(Kind::Ready) => match unready(state.life()) {
            Some(failure) => Reply::Failure(failure),
            None => Reply::Done,
        },
        Some(Kind::Metadata) => Reply::Json(state.reads.metadata.clone()),
        Some(Kind::Stats) => Reply::Json(state.metrics.json()),
        other => {
            let message = format!("frames of kind {other:?} are not served");
            Reply::Failure(Failure::new(Status::Unsupported, message))
        }
    };
    client.send(request, &reply, Some(permit));
}

fn unready(life: Life) -> Option<Failure> {
    match life {
        Life::Ready => None,
        Life::Draining => Some(Failure::new(Status::ShuttingDown, "draining")),
        Life::Failed => Some(Failure::new(Status::DeviceFailed, "the device failed")),
    }
}

fn infer(frame: &Frame<'_>, arrival_us: u64, promise: Promise, state: &State) {
    if let Some(failure) = unready(state.life()) {
        return promise.fail(failure);
    }
    match decode(frame, state) {
        Ok((row, options)) => {
            let job = Job { row, options, arrival_us, promise };
            state.inbox.admit(Box::new(job), state.retry_after_ms());
        }
        Err(failure) => promise.fail(failure),
    }
}

fn decode(frame: &Frame<'_>, state: &State) -> Result<(Row, InferOptions), Failure> {
    let bad = |message: String| Failure::new(Status::BadInput, message);
    let Infer { input, options } = Infer::decode(&frame.header, frame.payload).map_err(bad)?;
    if options.deepest_site.is_some() && options.score_floor > 0.0 {
        return Err(bad("a deepest site and a score floor contradict each other".to_owned()));
    }
    let row = row(input, state).map_err(|error| match error {
        InputError::TooLong { .. } => Failure::new(Status::TooLarge, error.to_string()),
        error => bad(error.to_string()),
    })?;
    Ok((row, options))
}

/// What the model is to read.
fn row(input: Input<'_>, state: &State) -> Result<Row, InputError> {
    let row = match input {
        Input::Text(text, pair) => {
            let lacking = || InputError::Tokenizer("the model has none: send tokens".to_owned());
            let tokenizer = match (&state.reads.tokenizer, &state.reads.preprocessor) {
                (Some(tokenizer), _) => tokenizer,
                (None, Some(_)) => return Err(InputError::NotAnImage),
                (None, None) => return Err(lacking()),
            };
            tokenizer.encode(text, pair)?.into()
        }
        Input::Tokens(row) => row.into(),
        Input::Image(pixels) => Row::Image(pixels.to_vec()),
        Input::Picture { shape, pixels } => {
            let preprocessor = state.reads.preprocessor.as_ref().ok_or(InputError::NotText)?;
            let picture = Picture::new(shape.map(usize::from), pixels.to_vec())?;
            Row::Image(preprocessor.apply(&picture))
        }
    };
    state.reads.rules.check(&row)?;
    Ok(row)
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
        packets.iter().for_each(|packet: &Packet| bytes.extend_from_slice(&packet.bytes));
        let is_written = matches!(timeout(patience, write.write_all(&bytes)).await, Ok(Ok(())));
        packets.drain(..).for_each(|packet| drop(packet.permit));
        if !is_written {
            return;
        }
    }
}
