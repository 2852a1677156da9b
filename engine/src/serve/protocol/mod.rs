//! The wire format, pure: bytes to frames and back, no sockets. `PROTOCOL.md` is its text.
//!
//! A frame is a [`Header`] of 24 bytes and a payload. All numbers are little-endian. Requests are
//! pipelined; replies carry the request's id and come in any order.

mod frames;
mod header;
mod reply;
mod request;
mod status;
#[cfg(test)]
mod tests;

pub use frames::{Frame, FrameError, split};
pub use header::{HEADER_BYTES, Header, Kind, VERSION};
pub use reply::{Failure, Phase, Reply, Verdict};
pub use request::{Infer, InferOptions, Input};
pub use status::Status;
