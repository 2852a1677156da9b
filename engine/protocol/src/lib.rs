//! Knows the wire format, bytes to frames and back; never sockets, engines or models.
//! `PROTOCOL.md` is its text.
//!
//! A frame is a [`Header`] of 24 bytes and a payload. All numbers are little-endian. Requests are
//! pipelined; replies carry the request's id and come in any order.

#![forbid(unsafe_code)]

mod exit;
mod frames;
mod header;
mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;

pub use exit::Exit;
pub use frames::{Frame, FrameError, split};
pub use header::{HEADER_BYTES, Header, Kind, VERSION};
pub use reply::{Failure, Phase, Reply, Verdict};
pub use request::{Infer, InferOptions, Input, Tokens};
pub use status::Status;
