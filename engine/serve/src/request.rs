//! What a frame asks for.

use offramp::{InputError, Picture, Row, TokenRow};
use offramp_protocol::{Failure, Frame, Infer, InferOptions, Input, Kind, Reply, Status, Tokens};

use crate::inbox::{Job, Promise};
use crate::orders::{Ask, Order};
use crate::outbox::{Client, Hold};
use crate::state::{Life, State};

/// Answers, or sees to it that somebody will.
pub(crate) fn take(frame: &Frame<'_>, arrival_us: u64, hold: Hold, client: &Client, state: &State) {
    let request = frame.header.request();
    if let Err(message) = expect_bare(frame) {
        let failure = Failure::new(Status::BadInput, message);
        return client.send(request, &Reply::Failure(failure), Some(hold));
    }
    let reply = match frame.header.kind() {
        Some(Kind::Infer) => {
            let promise = Promise::new(client.clone(), request, hold, state.metrics.clone());
            return infer(frame, arrival_us, promise, state);
        }
        Some(kind @ (Kind::Drain | Kind::Reload)) => {
            return order(kind, Ask::new(client.clone(), request, hold), state);
        }
        Some(Kind::Ping) => Reply::Pong(frame.payload.to_vec()),
        Some(Kind::Ready) => match unready(state) {
            Some(failure) => Reply::Failure(failure),
            None => Reply::Done,
        },
        Some(Kind::Metadata) => Reply::Json(state.metadata()),
        Some(Kind::Stats) => Reply::Json(state.stats()),
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
    client.send(request, &reply, Some(hold));
}

/// Answers a request whose deadline passed before its turn came to be read.
pub(crate) fn give_up(frame: &Frame<'_>, hold: Hold, client: &Client, state: &State) {
    let (request, metrics) = (frame.header.request(), state.metrics.clone());
    let failure = Failure::new(Status::DeadlineExpired, "its turn to be read did not come in time");
    match frame.header.kind() {
        Some(Kind::Infer) => Promise::new(client.clone(), request, hold, metrics).fail(failure),
        _ => client.send(request, &Reply::Failure(failure), Some(hold)),
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
fn order(kind: Kind, mut ask: Ask, state: &State) {
    let Some(orders) = &state.orders else {
        return ask.fail(Status::Unsupported, "this server takes no orders");
    };
    if kind == Kind::Drain {
        state.drain();
        // Where nobody listens, the server drains all the same.
        let _ = orders.try_send(Order::Drain);
        return ask.answer(Ok(()));
    }
    if let Some(failure) = unready(state) {
        return ask.fail(failure.status, failure.message);
    }
    let Some(turn) = state.reload.take() else {
        return ask.fail(Status::Overloaded, "another reload is under way");
    };
    ask.hold_turn(turn);
    // Where it is not taken, it says so on its way out.
    let _ = orders.try_send(Order::Reload(ask));
}

pub(crate) fn unready(state: &State) -> Option<Failure> {
    match state.life() {
        Life::Ready => None,
        Life::Draining => Some(Failure::new(Status::ShuttingDown, "draining")),
        Life::Failed => {
            let why = state.told_lost().unwrap_or_else(|| "the device failed".to_owned());
            Some(Failure::new(Status::DeviceFailed, why))
        }
    }
}

fn infer(frame: &Frame<'_>, arrival_us: u64, promise: Promise, state: &State) {
    if let Some(failure) = unready(state) {
        return promise.fail(failure);
    }
    if !promise.has_place() {
        let message = format!(
            "{} requests of this connection are in flight, at most so many may be",
            state.limits.in_flight_max
        );
        let retry_after_ms = state.retry_after_ms();
        return promise.fail(Failure { status: Status::Overloaded, retry_after_ms, message });
    }
    match decode(frame, state) {
        Ok((Given { row, is_cut }, options)) => {
            let job = Job { row, is_cut, options, arrival_us, promise };
            let deadline_us = job.deadline_us(state.margin_us);
            if deadline_us.is_some_and(|deadline_us| state.is_busy_beyond_us(deadline_us)) {
                let message = "the deadline cannot be met: a pass runs for longer";
                return job.promise.fail(Failure::new(Status::DeadlineExpired, message));
            }
            state.inbox.admit(Box::new(job), state.retry_after_ms());
        }
        Err(failure) => promise.fail(failure),
    }
}

fn decode(frame: &Frame<'_>, state: &State) -> Result<(Given, InferOptions), Failure> {
    let bad = |message: String| Failure::new(Status::BadInput, message);
    let Infer { input, options } = Infer::decode(&frame.header, frame.payload).map_err(bad)?;
    if options.deepest_site.is_some() && options.score_floor > 0.0 {
        return Err(bad("a deepest site and a score floor contradict each other".to_owned()));
    }
    let given = given(input, state).map_err(|error| match error {
        InputError::TooLong { .. } | InputError::TextTooLong { .. } => {
            Failure::new(Status::TooLarge, error.to_string())
        }
        error => bad(error.to_string()),
    })?;
    Ok((given, options))
}

/// What the model is to read.
struct Given {
    row: Row,
    /// Whether it is less than was sent.
    is_cut: bool,
}

fn given(input: Input<'_>, state: &State) -> Result<Given, InputError> {
    let mut is_cut = false;
    let row = match input {
        Input::Text(text, pair) => {
            let lacking = || InputError::Tokenizer("the model has none: send tokens".to_owned());
            let tokenizer = match (&state.reads.tokenizer, &state.reads.preprocessor) {
                (Some(tokenizer), _) => tokenizer,
                (None, Some(_)) => return Err(InputError::NotAnImage),
                (None, None) => return Err(lacking()),
            };
            let encoded = tokenizer.encode_noting_cuts(text, pair)?;
            is_cut = encoded.is_cut;
            encoded.row.into()
        }
        Input::Tokens(Tokens { ids, kinds }) => TokenRow { ids, kinds }.into(),
        Input::Image(pixels) => Row::Image(pixels.to_vec()),
        Input::Picture { shape, pixels } => {
            let preprocessor = state.reads.preprocessor.as_ref().ok_or(InputError::NotText)?;
            let picture = Picture::new(shape.map(usize::from), pixels.to_vec())?;
            Row::Image(preprocessor.apply(&picture))
        }
    };
    state.reads.rules.check(&row)?;
    Ok(Given { row, is_cut })
}
