//! Bytes to frames.

use super::header::{HEADER_BYTES, Header, VERSION};

/// A whole frame; the payload lies where it was read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame<'a> {
    /// Its head.
    pub header: Header,
    /// What is behind it.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of header and payload.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }
}

/// Why a stream of bytes cannot be read on. The connection is to be closed: where the next frame
/// begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not this protocol.
    #[error("not a frame: it does not begin with \"OFRP\"")]
    Magic,
    /// Another version of it.
    #[error("protocol version {found}, expected {VERSION}")]
    Version {
        /// The version of the frame.
        found: u8,
        /// The request it belongs to.
        request: u64,
    },
    /// More payload than is allowed.
    #[error("a payload of {payload_bytes} bytes, at most {payload_bytes_max} are allowed")]
    TooLarge {
        /// What the header announces.
        payload_bytes: usize,
        /// The limit.
        payload_bytes_max: usize,
        /// The request it belongs to.
        request: u64,
    },
}

/// The frame that `bytes` begin with; none while it is not whole. Judges a header as soon as that
/// is there, so that nobody waits for a payload that will not be taken.
///
/// # Errors
/// [`FrameError`]: the stream is of no more use.
pub fn split(bytes: &[u8], payload_bytes_max: usize) -> Result<Option<Frame<'_>>, FrameError> {
    let Some((head, rest)) = bytes.split_at_checked(HEADER_BYTES) else {
        let is_so_far = b"OFRP".starts_with(&bytes[..bytes.len().min(4)]);
        return if is_so_far { Ok(None) } else { Err(FrameError::Magic) };
    };
    let header: Header = bytemuck::pod_read_unaligned(head);
    check(&header, payload_bytes_max)?;
    Ok(rest.get(..header.payload_bytes()).map(|payload| Frame { header, payload }))
}

fn check(header: &Header, payload_bytes_max: usize) -> Result<(), FrameError> {
    let (request, payload_bytes) = (header.request(), header.payload_bytes());
    if !header.has_magic() {
        Err(FrameError::Magic)
    } else if header.version() != VERSION {
        Err(FrameError::Version { found: header.version(), request })
    } else if payload_bytes > payload_bytes_max {
        Err(FrameError::TooLarge { payload_bytes, payload_bytes_max, request })
    } else {
        Ok(())
    }
}
