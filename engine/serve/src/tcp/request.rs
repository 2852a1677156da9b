//! What a frame asks for.

use std::sync::Arc;

use offramp_protocol::{Failure, Frame, Infer, Kind, Reply, Status};

use super::orders::{Ask, Order};
use super::outbox::{Client, Hold, ToClient};
use super::shared::Shared;
use crate::service::{ReplyGuard, submit, unready};

/// Answers, or sees to it that somebody will.
pub(crate) fn take(
    frame: &Frame<'_>,
    arrival_us: u64,
    hold: Hold,
    client: &Client,
    shared: &Shared,
) {
    let request = frame.header.request();
    if let Err(message) = expect_bare(frame) {
        let failure = Failure::new(Status::BadInput, message);
        return client.send(request, Reply::Failure(failure), Some(hold));
    }
    let reply = match frame.header.kind() {
        Some(Kind::Infer) => {
            return infer(frame, arrival_us, hold, client, shared);
        }
        Some(kind @ (Kind::Drain | Kind::Reload)) => {
            return order(kind, Ask::new(client.clone(), request, hold), shared);
        }
        Some(Kind::Ping) => Reply::Pong(frame.payload.to_vec()),
        Some(Kind::Ready) => match unready(&shared.state) {
            Some(failure) => Reply::Failure(failure),
            None => Reply::Done,
        },
        Some(Kind::Metadata) => Reply::Json(shared.state.metadata()),
        Some(Kind::Stats) => Reply::Json(shared.state.stats()),
        known => {
            let number = frame.header.kind_number();
            let what = match known {
                Some(_) => "is not asked for by clients",
                None => "is unknown to this version",
            };
            let message = format!("a frame of kind {number} {what}: see PROTOCOL.md, Kinds");
            Reply::Failure(Failure::new(Status::Unsupported, message))
        }
    };
    client.send(request, reply, Some(hold));
}

/// Answers a request whose deadline passed before its turn came to be read.
pub(crate) fn give_up(frame: &Frame<'_>, hold: Hold, client: &Client, shared: &Shared) {
    let failure = Failure::new(Status::DeadlineExpired, "its turn to be read did not come in time");
    match frame.header.kind() {
        Some(Kind::Infer) => reply(frame, hold, client, shared).fail(failure),
        _ => client.send(frame.header.request(), Reply::Failure(failure), Some(hold)),
    }
}

/// Of all requests only infer has flags, and only that and a ping a payload.
fn expect_bare(frame: &Frame<'_>) -> Result<(), String> {
    let (flags, bytes) = (frame.header.flags(), frame.payload.len());
    let is_bare = match frame.header.kind() {
        Some(Kind::Ping) => flags == 0,
        Some(Kind::Ready | Kind::Metadata | Kind::Stats | Kind::Drain | Kind::Reload) => {
            flags == 0 && bytes == 0
        }
        _ => true,
    };
    let unfit = || format!("flags {flags:#x} and {bytes} bytes where there are none");
    is_bare.then_some(()).ok_or_else(unfit)
}

/// Hands an order on; draining begins here.
fn order(kind: Kind, mut ask: Ask, shared: &Shared) {
    let Some(orders) = &shared.orders else {
        return ask.fail(Status::Unsupported, "this server takes no orders");
    };
    if kind == Kind::Drain {
        shared.state.drain();
        // Where nobody listens, the server drains all the same.
        let _ = orders.try_send(Order::Drain);
        return ask.answer(Ok(()));
    }
    if let Some(failure) = unready(&shared.state) {
        return ask.fail(failure.status, failure.message);
    }
    let Some(turn) = shared.reload.take() else {
        return ask.fail(Status::Overloaded, "another reload is under way");
    };
    ask.hold_turn(turn);
    // Where it is not taken, it says so on its way out.
    let _ = orders.try_send(Order::Reload(ask));
}

fn infer(frame: &Frame<'_>, arrival_us: u64, hold: Hold, client: &Client, shared: &Shared) {
    let has_place = hold.place.is_some();
    let reply = reply(frame, hold, client, shared);
    let ask = || {
        if !has_place {
            return Err(without_place(shared));
        }
        let infer = Infer::decode(&frame.header, frame.payload);
        infer.map_err(|message| Failure::new(Status::BadInput, message))
    };
    submit(ask, arrival_us, reply, &shared.state);
}

fn without_place(shared: &Shared) -> Failure {
    let message = format!(
        "{} requests of this connection are in flight, at most so many may be",
        shared.limits.in_flight_max
    );
    let retry_after_ms = shared.state.retry_after_ms();
    Failure { status: Status::Overloaded, retry_after_ms, message }
}

/// Counts an infer request, and sees to its end.
fn reply(frame: &Frame<'_>, hold: Hold, client: &Client, shared: &Shared) -> ReplyGuard {
    let responder = ToClient { client: client.clone(), request: frame.header.request(), hold };
    ReplyGuard::new(Box::new(responder), Arc::clone(&shared.state.metrics))
}
