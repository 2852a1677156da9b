//! What all connections share.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::sync::mpsc::Sender;

use super::options::{ConnectionOptions, SessionLimits};
use super::orders::{Order, Turn};
use crate::service::State;

/// Shared by the sessions of a listener.
pub(crate) struct Shared {
    pub(crate) state: Arc<State>,
    pub(crate) limits: SessionLimits,
    /// Where orders go; none where they are not taken.
    pub(crate) orders: Option<Sender<Order>>,
    pub(crate) reload: Turn,
    /// The turns of whoever has a long frame read, and of whoever has a very long one.
    pub(crate) long_frames: [Mutex<()>; 2],
}

impl Shared {
    pub(crate) fn new(state: Arc<State>, options: &ConnectionOptions) -> Self {
        let ConnectionOptions { session, orders, .. } = options;
        Self {
            state,
            limits: *session,
            orders: orders.clone(),
            reload: Turn::default(),
            long_frames: Default::default(),
        }
    }
}
