//! The fixed head of every frame.

use bytemuck::{Pod, Zeroable};

/// The version this code speaks.
pub const VERSION: u8 = 1;

/// Bytes of a [`Header`].
pub const HEADER_BYTES: usize = size_of::<Header>();

const MAGIC: [u8; 4] = *b"OFRP";

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Request: run one input.
    Infer = 1,
    /// Request: is anybody there? The payload comes back.
    Ping = 2,
    /// Request: would work be taken?
    Ready = 3,
    /// Request: what model is this?
    Metadata = 4,
    /// Request: what has been done?
    Stats = 5,
    /// Order: answer what was accepted, then end.
    Drain = 6,
    /// Order: read ramps and thresholds again.
    Reload = 7,
    /// Reply: a [`Verdict`](super::Verdict).
    Verdict = 0x81,
    /// Reply: a [`Failure`](super::Failure).
    Failure = 0x82,
    /// Reply to ping, with its payload.
    Pong = 0x83,
    /// Reply to ready, drain and reload: it is so. No payload.
    Done = 0x84,
    /// Reply to metadata and stats: a JSON object.
    Json = 0x85,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Infer,
        Self::Ping,
        Self::Ready,
        Self::Metadata,
        Self::Stats,
        Self::Drain,
        Self::Reload,
        Self::Verdict,
        Self::Failure,
        Self::Pong,
        Self::Done,
        Self::Json,
    ];

    fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }
}

/// Magic, version, kind, flags, request id, deadline, payload length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Header {
    magic: [u8; 4],
    version: u8,
    kind: u8,
    flags: [u8; 2],
    request: [u8; 8],
    deadline_us: [u8; 4],
    payload_bytes: [u8; 4],
}

impl Header {
    /// For a frame with a payload of so many bytes.
    ///
    /// # Panics
    /// The payload has 4 GiB or more.
    pub fn new(kind: Kind, request: u64, payload_bytes: usize) -> Self {
        let payload_bytes = u32::try_from(payload_bytes).expect("invariant: payload below 4 GiB");
        Self {
            magic: MAGIC,
            version: VERSION,
            kind: kind as u8,
            flags: [0; 2],
            request: request.to_le_bytes(),
            deadline_us: [0; 4],
            payload_bytes: payload_bytes.to_le_bytes(),
        }
    }

    /// With flags.
    #[must_use]
    pub fn with_flags(self, flags: u16) -> Self {
        Self { flags: flags.to_le_bytes(), ..self }
    }

    /// With a deadline, in microseconds from the frame's arrival; 0 is none.
    #[must_use]
    pub fn with_deadline_us(self, deadline_us: u32) -> Self {
        Self { deadline_us: deadline_us.to_le_bytes(), ..self }
    }

    /// Whether it begins as frames do.
    pub(crate) fn has_magic(&self) -> bool {
        self.magic == MAGIC
    }

    /// The protocol version it was written in.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// What the frame is; none where this version knows no such kind.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(self.kind)
    }

    /// The same as it is written, known or not.
    pub fn kind_number(&self) -> u8 {
        self.kind
    }

    /// By kind: see the payload's type.
    pub fn flags(&self) -> u16 {
        u16::from_le_bytes(self.flags)
    }

    /// Chosen by the client; replies carry it.
    pub fn request(&self) -> u64 {
        u64::from_le_bytes(self.request)
    }

    /// Microseconds from arrival within which an answer is of use.
    pub fn deadline_us(&self) -> Option<u32> {
        Some(u32::from_le_bytes(self.deadline_us)).filter(|&us| us > 0)
    }

    /// Bytes behind the header.
    pub fn payload_bytes(&self) -> usize {
        u32::from_le_bytes(self.payload_bytes) as usize
    }
}
