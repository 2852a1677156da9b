//! One connection for many tasks.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use offramp_protocol::{Header, Infer, Kind, Reply, Verdict};
use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::ClientError;
use crate::connection::{is_last, take_reply};

/// Requests of a connection at a time; more wait here, where the server would not read them.
const IN_FLIGHT_MAX: usize = 128;

/// A pipelined connection that any number of tasks may ask at once.
///
/// Dropping a future gives its answer up and harms nobody else. A broken connection fails all that
/// wait; it stays broken.
///
/// ```no_run
/// # async fn example() -> Result<(), offramp_client::ClientError> {
/// use offramp_client::SharedConnection;
/// use offramp_protocol::{Infer, InferOptions, Input};
///
/// let connection = SharedConnection::open("127.0.0.1:7070").await?;
/// let input = Input::Text("How high is Mont Blanc?", None);
/// let verdict = connection.classify(&Infer { input, options: InferOptions::default() }).await?;
/// println!("{} {:.2}", verdict.label, verdict.score);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SharedConnection {
    address: String,
    requests: AtomicU64,
    outbox: UnboundedSender<Outgoing>,
    places: Arc<Semaphore>,
    waiting: Arc<Waiting>,
    reader: AbortHandle,
}

/// Who waits for which request.
#[derive(Debug, Default)]
struct Waiting(Mutex<Option<HashMap<u64, UnboundedSender<Reply>>>>);

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, UnboundedSender<Reply>>>> {
        self.0.lock()
    }
}

/// The replies to one request. Dropped, it waits no more.
#[derive(Debug)]
pub struct Replies {
    request: u64,
    replies: UnboundedReceiver<Reply>,
    address: String,
    waiting: Arc<Waiting>,
    _place: Arc<OwnedSemaphorePermit>,
}

/// A request on its way, with its place: given up, it holds that until it is written.
type Outgoing = (Vec<u8>, Arc<OwnedSemaphorePermit>);

impl SharedConnection {
    /// Connects to `host:port`, within a tokio runtime.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub async fn open(address: &str) -> Result<Self, ClientError> {
        let io = |source| ClientError::Io { address: address.to_owned(), source };
        let stream = TcpStream::connect(address).await.map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        let (read, write) = stream.into_split();
        let (outbox, requests) = unbounded_channel();
        let waiting = Arc::new(Waiting(Mutex::new(Some(HashMap::new()))));
        tokio::spawn(write_requests(write, requests));
        let reader = tokio::spawn(hand_out(read, address.to_owned(), waiting.clone()));
        Ok(Self {
            address: address.to_owned(),
            requests: AtomicU64::new(1),
            outbox,
            places: Arc::new(Semaphore::new(IN_FLIGHT_MAX)),
            waiting,
            reader: reader.abort_handle(),
        })
    }

    /// Whether nothing can be asked any more.
    pub fn is_broken(&self) -> bool {
        self.waiting.lock().is_none()
    }

    /// The last answer to one input.
    ///
    /// # Errors
    /// [`ClientError::Io`] where the connection breaks, [`ClientError::Failure`] as the server
    /// says.
    pub async fn classify(&self, infer: &Infer<'_>) -> Result<Verdict, ClientError> {
        let mut replies = self.ask(infer).await?;
        loop {
            let verdict = replies.next().await?;
            if is_last(&verdict, &infer.options) {
                return Ok(verdict);
            }
        }
    }

    /// Sends a request; in two phases there are two replies to take.
    ///
    /// # Errors
    /// [`ClientError::Io`] where the connection is broken.
    pub async fn ask(&self, infer: &Infer<'_>) -> Result<Replies, ClientError> {
        self.send(|request, bytes| infer.encode(request, bytes)).await
    }

    /// Asks a request without payload: ping, ready, metadata, stats, drain, reload.
    ///
    /// # Errors
    /// As [`classify`](Self::classify).
    pub async fn order(&self, kind: Kind) -> Result<Reply, ClientError> {
        let header = |request, bytes: &mut Vec<u8>| {
            bytes.extend_from_slice(bytemuck::bytes_of(&Header::new(kind, request, 0)));
        };
        self.send(header).await?.reply().await
    }

    async fn send(&self, encode: impl FnOnce(u64, &mut Vec<u8>)) -> Result<Replies, ClientError> {
        let place = self.places.clone().acquire_owned().await.map_err(|_| broken(&self.address))?;
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let (sender, replies) = unbounded_channel();
        let mut waiting = self.waiting.lock();
        waiting.as_mut().ok_or_else(|| broken(&self.address))?.insert(request, sender);
        drop(waiting);
        let (address, waiting, place) =
            (self.address.clone(), self.waiting.clone(), Arc::new(place));
        let replies = Replies { request, replies, address, waiting, _place: place.clone() };
        let mut bytes = Vec::new();
        encode(request, &mut bytes);
        self.outbox.send((bytes, place)).map_err(|_| broken(&self.address))?;
        Ok(replies)
    }
}

impl Drop for SharedConnection {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Replies {
    /// The next answer.
    ///
    /// # Errors
    /// As [`SharedConnection::classify`]; [`ClientError::Protocol`] where it is no answer.
    pub async fn next(&mut self) -> Result<Verdict, ClientError> {
        match self.reply().await? {
            Reply::Verdict(verdict) => Ok(verdict),
            other => {
                let message = format!("expected a verdict, found {other:?}");
                Err(ClientError::Protocol { address: self.address.clone(), message })
            }
        }
    }

    async fn reply(&mut self) -> Result<Reply, ClientError> {
        match self.replies.recv().await {
            Some(Reply::Failure(failure)) => Err(ClientError::Failure(failure)),
            Some(reply) => Ok(reply),
            None => Err(broken(&self.address)),
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.lock().as_mut() {
            waiting.remove(&self.request);
        }
    }
}

fn broken(address: &str) -> ClientError {
    let source = ErrorKind::ConnectionReset.into();
    ClientError::Io { address: address.to_owned(), source }
}

/// A task of its own, so that a dropped future never leaves half a request on the wire.
async fn write_requests(mut write: OwnedWriteHalf, mut requests: UnboundedReceiver<Outgoing>) {
    while let Some((bytes, _place)) = requests.recv().await {
        // What cannot be written will not be answered: the reader tells those who wait.
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Gives replies to those who wait, until the connection ends; then nobody waits any more.
async fn hand_out(mut read: OwnedReadHalf, address: String, waiting: Arc<Waiting>) {
    let _gone = Gone(waiting.clone());
    let mut bytes = Vec::new();
    while read.read_buf(&mut bytes).await.unwrap_or(0) > 0 {
        loop {
            match take_reply(&mut bytes, &address) {
                Ok(Some((request, reply))) => {
                    let waiting = waiting.lock();
                    let asker = waiting.as_ref().and_then(|waiting| waiting.get(&request));
                    // Nobody, or somebody who has just gone.
                    let _ = asker.map(|asker| asker.send(reply));
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// Ends all waiting, also where the task is aborted.
struct Gone(Arc<Waiting>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.lock().take();
    }
}
