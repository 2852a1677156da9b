//! One connection: requests out, replies in, in any order.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::time::Duration;

use offramp_protocol::{Header, Infer, InferOptions, Kind, Phase, Reply, Verdict, split};

use crate::ClientError;

/// Largest reply that is taken.
const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// Its writing half.
#[derive(Debug)]
pub struct Sender {
    stream: TcpStream,
    address: String,
    requests: u64,
    bytes: Vec<u8>,
}

/// Its reading half.
#[derive(Debug)]
pub struct Receiver {
    stream: TcpStream,
    address: String,
    bytes: Vec<u8>,
}

impl Connection {
    /// Connects to `host:port` within `timeout`; a server that takes longer to reply, or to take a
    /// request, breaks the connection.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn open(address: &str, timeout: Option<Duration>) -> Result<Self, ClientError> {
        let io = |source| ClientError::Io { address: address.to_owned(), source };
        let stream = connect(address, timeout).map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        stream.set_read_timeout(timeout).map_err(io)?;
        stream.set_write_timeout(timeout).map_err(io)?;
        let own = || address.to_owned();
        let write = stream.try_clone().map_err(io)?;
        Ok(Self {
            sender: Sender { stream: write, address: own(), requests: 0, bytes: Vec::new() },
            receiver: Receiver { stream, address: own(), bytes: Vec::new() },
        })
    }

    /// Sends a request; gives its number.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn send(&mut self, infer: &Infer<'_>) -> Result<u64, ClientError> {
        self.sender.send(infer)
    }

    /// Waits for the next reply, to whichever request.
    ///
    /// # Errors
    /// [`ClientError::Io`] at the end too, [`ClientError::Protocol`].
    pub fn receive(&mut self) -> Result<(u64, Reply), ClientError> {
        self.receiver.receive()
    }

    /// Sends a request without payload (ping, ready, metadata, stats) and waits for its reply. No
    /// other may be in flight.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`ClientError::Failure`] as the server says.
    pub fn ask(&mut self, kind: Kind) -> Result<Reply, ClientError> {
        self.sender.ask(kind)?;
        match self.receive()? {
            (_, Reply::Failure(failure)) => Err(ClientError::Failure(failure)),
            (_, reply) => Ok(reply),
        }
    }

    /// Both halves, for two threads.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }
}

/// To the first of the addresses of `host:port` that answers; without a host, to this machine.
fn connect(address: &str, timeout: Option<Duration>) -> std::io::Result<TcpStream> {
    let here = if address.starts_with(':') { "localhost" } else { "" };
    let address = format!("{here}{address}");
    let Some(timeout) = timeout else { return TcpStream::connect(&address) };
    let mut failed = std::io::ErrorKind::AddrNotAvailable.into();
    for resolved in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&resolved, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl Sender {
    /// Sends a request; gives its number: 1, 2, 3 and so on.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn send(&mut self, infer: &Infer<'_>) -> Result<u64, ClientError> {
        self.write(|request, bytes| infer.encode(request, bytes))
    }

    fn ask(&mut self, kind: Kind) -> Result<u64, ClientError> {
        self.write(|request, bytes| {
            bytes.extend_from_slice(bytemuck::bytes_of(&Header::new(kind, request, 0)));
        })
    }

    /// Writes the next request as one piece.
    fn write(&mut self, encode: impl FnOnce(u64, &mut Vec<u8>)) -> Result<u64, ClientError> {
        self.requests += 1;
        self.bytes.clear();
        encode(self.requests, &mut self.bytes);
        let written = self.stream.write_all(&self.bytes);
        let io = |source| ClientError::Io { address: self.address.clone(), source };
        written.map(|()| self.requests).map_err(io)
    }

    /// Nothing more will be asked; replies still come.
    pub fn finish(self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl Receiver {
    /// Waits for the next reply.
    ///
    /// # Errors
    /// [`ClientError::Io`] at the end too, [`ClientError::Protocol`].
    pub fn receive(&mut self) -> Result<(u64, Reply), ClientError> {
        loop {
            if let Some(reply) = take_reply(&mut self.bytes, &self.address)? {
                return Ok(reply);
            }
            let mut chunk = [0; 16 << 10];
            let io = |source| ClientError::Io { address: self.address.clone(), source };
            let count = self.stream.read(&mut chunk).map_err(io)?;
            if count == 0 {
                return Err(io(std::io::ErrorKind::UnexpectedEof.into()));
            }
            self.bytes.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Takes a reply off what has arrived; none where it is not whole.
pub(crate) fn take_reply(
    bytes: &mut Vec<u8>,
    address: &str,
) -> Result<Option<(u64, Reply)>, ClientError> {
    let fail = |message| ClientError::Protocol { address: address.to_owned(), message };
    let frame = split(bytes, PAYLOAD_BYTES_MAX).map_err(|error| fail(error.to_string()))?;
    let Some(frame) = frame else { return Ok(None) };
    let reply = Reply::decode(&frame.header, frame.payload).map_err(fail)?;
    let (request, used) = (frame.header.request(), frame.bytes());
    bytes.drain(..used);
    Ok(Some((request, reply)))
}

/// Whether no other answer follows.
pub(crate) fn is_last(verdict: &Verdict, options: &InferOptions) -> bool {
    !options.two_phase || verdict.phase != Phase::Early
}
