//! Clients of a server, blocking.
//!
//! [`Client`] asks one question at a time and tries again where that makes sense; [`Connection`]
//! is one pipelined connection, whose two halves may live on two threads.

mod connection;
mod retry;

pub use connection::{Connection, Receiver, Sender};
pub use retry::{Client, RetryOptions};

use crate::serve::protocol::Failure;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection broke, or could not be made. Usual cause: the server has ended.
    #[error("{address}: {source}")]
    Io {
        /// The server.
        address: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The other side does not speak the protocol.
    #[error("{address}: {message}")]
    Protocol {
        /// The server.
        address: String,
        /// What was wrong.
        message: String,
    },
    /// The server says why.
    #[error("{}: {}", .0.status, .0.message)]
    Failure(Failure),
}

impl ClientError {
    /// Whether another try may succeed: requests are idempotent, so a broken connection is one.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Protocol { .. } => false,
            Self::Failure(failure) => failure.status.is_worth_a_retry(),
        }
    }
}
