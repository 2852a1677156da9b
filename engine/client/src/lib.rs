//! Knows how to ask servers: connections, retries, balance; never kernels, models or tokenizers.
//!
//! | | one connection, pipelined | several servers, retries |
//! |---|---|---|
//! | blocking | [`Connection`] | [`Client`] |
//! | async, for many tasks | [`SharedConnection`] | [`BalancedClient`] |

#![forbid(unsafe_code)]

mod balanced;
mod connection;
mod retry;
mod servers;
mod shared;

pub use balanced::BalancedClient;
pub use connection::{Connection, Receiver, Sender};
pub use retry::{Client, RetryOptions};
pub use shared::{Replies, SharedConnection};

use offramp_protocol::{Failure, Status};

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
    /// Whether its connection is of no more use: the next try may reach another replica.
    fn ends_connection(&self) -> bool {
        match self {
            Self::Io { .. } | Self::Protocol { .. } => true,
            Self::Failure(failure) => {
                matches!(failure.status, Status::ShuttingDown | Status::DeviceFailed)
            }
        }
    }

    /// Whether another try may succeed: requests are idempotent, so a broken connection is one.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Protocol { .. } => false,
            Self::Failure(failure) => failure.status.is_worth_a_retry(),
        }
    }
}
