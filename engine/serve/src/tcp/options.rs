//! What connections may do.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use super::orders::Order;
use crate::error::{Error, Result};
use crate::service::ServiceOptions;

const CONNECTIONS_MAX: usize = 10_000;
/// What can be counted of connections, requests in flight and bytes of replies.
const COUNT_MAX: usize = Semaphore::MAX_PERMITS;

/// How a [`Server`](crate::Server) serves.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// What it serves.
    pub service: ServiceOptions,
    /// What one connection may do.
    pub session: SessionLimits,
    /// Connections at a time, at least 1; beyond, they wait to be accepted.
    pub connections_max: usize,
    /// Whether clients may tell it to drain and to reload.
    pub takes_orders: bool,
    /// Threads that read and write, from 1 to 1024.
    pub io_threads: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            service: ServiceOptions::default(),
            session: SessionLimits::default(),
            connections_max: CONNECTIONS_MAX,
            takes_orders: false,
            io_threads: 1,
        }
    }
}

/// What connections may do.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// What one connection may do.
    pub session: SessionLimits,
    /// Connections at a time, at least 1; beyond, they wait to be accepted.
    pub connections_max: usize,
    /// Where orders of clients go, to drain or to reload; none where they are not taken.
    pub orders: Option<Sender<Order>>,
}

impl ConnectionOptions {
    /// Refuses numbers that nobody could connect with, and those that cannot be counted.
    pub(crate) fn check(&self) -> Result<()> {
        let SessionLimits { in_flight_max, replies_bytes_max, .. } = self.session;
        expect_within("connections_max", 1, self.connections_max, COUNT_MAX)?;
        expect_within("in_flight_max", 1, in_flight_max, COUNT_MAX / ANSWER_BYTES)?;
        expect_within("replies_bytes_max", 0, replies_bytes_max, COUNT_MAX)
    }
}

/// Refuses an option out of its range.
pub(crate) fn expect_within(option: &str, least: usize, found: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(Error::refused(option, format_args!("from {least} to {most}"), found))
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self { session: SessionLimits::default(), connections_max: CONNECTIONS_MAX, orders: None }
    }
}

/// What one connection may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Largest payload of a frame.
    pub payload_bytes_max: usize,
    /// Infer requests whose replies have not been taken, at least 1. Beyond, one with a deadline is
    /// refused: unread, it would grow old unseen. One without waits, and all behind it.
    pub in_flight_max: usize,
    /// Room for replies that have not been taken, about; beyond, the server stops reading. There is
    /// always room for those of all infer requests in flight.
    pub replies_bytes_max: usize,
    /// Longest silence of a connection with nothing in flight.
    pub idle_timeout: Duration,
    /// Longest time for one frame to arrive, or for replies to be taken.
    pub frame_timeout: Duration,
}

/// What an infer request's replies take up, about.
pub(crate) const ANSWER_BYTES: usize = 512;

impl SessionLimits {
    pub(crate) fn room_bytes(&self) -> usize {
        self.replies_bytes_max.max(self.in_flight_max.saturating_mul(ANSWER_BYTES))
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1 << 20,
            in_flight_max: 256,
            replies_bytes_max: 256 << 10,
            idle_timeout: Duration::from_secs(300),
            frame_timeout: Duration::from_secs(20),
        }
    }
}
