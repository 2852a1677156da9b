//! Why a request got no answer.

/// The one list of failures, with one mapping to HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[non_exhaustive]
pub enum Status {
    /// The inbox is full, too many requests of this connection are in flight, or a reload is under
    /// way. Try again after the time given.
    Overloaded = 1,
    /// The deadline has passed, or cannot be met any more.
    DeadlineExpired = 2,
    /// The frame, or the input, is larger than allowed.
    TooLarge = 3,
    /// The request is malformed, or the model cannot read the input.
    BadInput = 4,
    /// The model is still warming up: for gateways, as this server listens once it is warm.
    NotReady = 5,
    /// The device failed under the batch.
    DeviceFailed = 6,
    /// The server takes no new work.
    ShuttingDown = 7,
    /// Another protocol version, an unknown kind of frame, or something this server lacks.
    Unsupported = 8,
}

impl Status {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 8] = [
        Self::Overloaded,
        Self::DeadlineExpired,
        Self::TooLarge,
        Self::BadInput,
        Self::NotReady,
        Self::DeviceFailed,
        Self::ShuttingDown,
        Self::Unsupported,
    ];

    /// The code on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// Of a code on the wire.
    pub fn of(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// In metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::DeadlineExpired => "deadline_expired",
            Self::TooLarge => "too_large",
            Self::BadInput => "bad_input",
            Self::NotReady => "not_ready",
            Self::DeviceFailed => "device_failed",
            Self::ShuttingDown => "shutting_down",
            Self::Unsupported => "unsupported",
        }
    }

    /// What an HTTP gateway should say.
    pub fn http(self) -> u16 {
        match self {
            Self::Overloaded | Self::NotReady | Self::ShuttingDown => 503,
            Self::DeadlineExpired => 504,
            Self::TooLarge => 413,
            Self::BadInput => 400,
            Self::DeviceFailed => 500,
            Self::Unsupported => 501,
        }
    }

    /// Whether the same request may succeed on another try, here or at another replica.
    pub fn is_worth_a_retry(self) -> bool {
        matches!(self, Self::Overloaded | Self::NotReady | Self::DeviceFailed | Self::ShuttingDown)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
