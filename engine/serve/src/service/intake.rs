//! From a request to a row that waits.

use std::borrow::Borrow;

use offramp::{InputError, Picture, Row, TokenRow};
use offramp_protocol::{Failure, Infer, InferOptions, Input, Status, Tokens};

use super::inbox::Job;
use super::reading::Reading;
use super::reply::ReplyGuard;
use super::state::{Life, State};

/// Has a request wait for its turn, or ends it at once. `ask` gives the request, or says what is
/// wrong with it; it is not asked where nothing is taken on.
pub(crate) fn submit<'a, R: Borrow<Infer<'a>>>(
    ask: impl FnOnce() -> Result<R, Failure>,
    arrival_us: u64,
    reply: ReplyGuard,
    state: &State,
) {
    let asked = match unready(state) {
        Some(failure) => Err(failure),
        None => ask(),
    };
    let taken = asked.and_then(|request| read(request.borrow(), &state.reads));
    let Given { row, is_cut, options } = match taken {
        Ok(given) => given,
        Err(failure) => return reply.fail(failure),
    };
    let job = Job { row, is_cut, options, arrival_us, reply };
    let deadline_us = job.deadline_us(state.margin_us);
    if deadline_us.is_some_and(|deadline_us| state.is_busy_beyond_us(deadline_us)) {
        let message = "the deadline cannot be met: a pass runs for longer";
        return job.reply.fail(Failure::new(Status::DeadlineExpired, message));
    }
    // It may have closed since it was asked.
    let closed = || {
        let draining = || Failure::new(Status::ShuttingDown, "the service takes no new work");
        unready(state).unwrap_or_else(draining)
    };
    state.inbox.admit(job, state.retry_after_ms(), closed);
}

/// Why nothing is taken on, where that is so.
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

/// What the model is to read.
struct Given {
    row: Row,
    /// Whether it is less than was sent.
    is_cut: bool,
    options: InferOptions,
}

fn read(request: &Infer<'_>, reads: &Reading) -> Result<Given, Failure> {
    check(&request.options)?;
    given(request, reads).map_err(|error| match error {
        InputError::TooLong { .. } | InputError::TextTooLong { .. } => {
            Failure::new(Status::TooLarge, error.to_string())
        }
        error => Failure::new(Status::BadInput, error.to_string()),
    })
}

fn check(options: &InferOptions) -> Result<(), Failure> {
    if !(0.0..=1.0).contains(&options.score_floor) {
        let message = format!("a score floor of {}, expected 0 to 1", options.score_floor);
        return Err(Failure::new(Status::BadInput, message));
    }
    if options.deepest_site.is_some() && options.score_floor > 0.0 {
        let message = "a deepest site and a score floor contradict each other";
        return Err(Failure::new(Status::BadInput, message));
    }
    Ok(())
}

fn given(request: &Infer<'_>, reads: &Reading) -> Result<Given, InputError> {
    let mut is_cut = false;
    let row = match &request.input {
        Input::Text(text, pair) => {
            let encoded = reads.tokenizer()?.encode_noting_cuts(text, *pair)?;
            is_cut = encoded.is_cut;
            encoded.row.into()
        }
        Input::Tokens(Tokens { ids, kinds }) => {
            TokenRow { ids: ids.clone(), kinds: kinds.clone() }.into()
        }
        Input::Image(pixels) => Row::Image(pixels.to_vec()),
        Input::Picture { shape, pixels } => {
            let preprocessor = reads.preprocessor.as_ref().ok_or(InputError::NotText)?;
            let picture = Picture::new(shape.map(usize::from), pixels.to_vec())?;
            Row::Image(preprocessor.apply(&picture))
        }
    };
    reads.rules.check(&row)?;
    Ok(Given { row, is_cut, options: request.options })
}
