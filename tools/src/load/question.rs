//! Short questions to a server, beside the load.

use std::io::ErrorKind;
use std::time::Duration;

use offramp_client::{ClientError, Connection};
use offramp_protocol::{Kind, Reply};
use serde_json::Value;

use crate::failure::{Failure, Result};

/// Longest wait for an answer. No pass is waited for, so that even a busy server is quick; one that
/// hangs must not keep what was measured from being told.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the server answers to a request without payload; `what` names that for people.
pub(super) fn ask(address: &str, kind: Kind, what: &str) -> Result<Value> {
    let asked = Connection::open(address, Some(PATIENCE)).and_then(|mut c| c.ask(kind));
    match asked.map_err(|error| Failure::Failed(told(&error, what)))? {
        Reply::Json(json) => Ok(serde_json::from_str(&json)?),
        _ => Err(Failure::Failed(format!("{address}: the server does not tell {what}"))),
    }
}

/// The system's word for a wait that is over says nothing to people.
fn told(error: &ClientError, what: &str) -> String {
    match error {
        ClientError::Io { address, source }
            if matches!(source.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
        {
            let seconds = PATIENCE.as_secs();
            format!("{address}: the server does not tell {what} within {seconds} s")
        }
        error => error.to_string(),
    }
}
