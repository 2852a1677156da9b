//! Sends on schedule, whatever comes back: an open loop.

use std::time::{Duration, Instant};

use offramp::client::{ClientError, Connection, Receiver, Sender};
use offramp::serve::protocol::{Infer, InferOptions, Input, Reply, Status, Verdict};

use crate::failure::{Failure, Result};

/// Longest wait for a reply.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Answered, so long after it was due.
    Answered(Duration, Verdict),
    /// Refused or failed.
    Failed(Status),
    /// The connection broke, or no reply came in time.
    Lost,
}

/// All requests, in the order they were due.
pub(crate) struct Driven {
    pub(crate) ends: Vec<End>,
    /// Which input each was, counted round and round.
    pub(crate) turns: Vec<usize>,
    /// When each was due, or sent where nothing said when, from the start.
    pub(crate) due_s: Vec<f64>,
    /// How long after they were due requests were sent.
    pub(crate) lags: Vec<Duration>,
    pub(crate) elapsed: Duration,
}

/// Sends `inputs` in turn, one at each of `due_s`, over so many connections.
pub(crate) fn drive(
    address: &str,
    connections: usize,
    inputs: &[Input<'_>],
    options: InferOptions,
    due_s: &[f64],
) -> Result<Driven> {
    let opened = open(address, connections, PATIENCE + longest_gap(due_s, connections))?;
    let began = Instant::now();
    let part = Part { began, inputs, options, due_s, stride: connections };
    let mut driven = Driven {
        ends: vec![End::Lost; due_s.len()],
        turns: (0..due_s.len()).collect(),
        due_s: due_s.to_vec(),
        lags: vec![Duration::ZERO; due_s.len()],
        elapsed: Duration::ZERO,
    };
    std::thread::scope(|scope| {
        let spawn = |(first, (sender, receiver))| {
            let sent = scope.spawn(move || part.send(first, sender));
            (first, sent, scope.spawn(move || part.receive(first, receiver)))
        };
        let threads: Vec<_> = opened.into_iter().enumerate().map(spawn).collect();
        for (first, sent, received) in threads {
            let lags = sent.join().unwrap_or_default();
            for (turn, lag) in lags.into_iter().enumerate() {
                driven.lags[first + turn * connections] = lag;
            }
            for (index, end) in received.join().unwrap_or_default() {
                driven.ends[index] = end;
            }
        }
    });
    driven.elapsed = began.elapsed();
    Ok(driven)
}

/// The longest time that one of so many connections has nothing to send: its silence is no fault.
fn longest_gap(due_s: &[f64], connections: usize) -> Duration {
    let before = |index: usize| index.checked_sub(connections).map_or(0.0, |at| due_s[at]);
    let gaps = due_s.iter().enumerate().map(|(index, due_s)| due_s - before(index));
    Duration::from_secs_f64(gaps.fold(0.0, f64::max))
}

/// So many connections, each for a thread that sends and one that receives.
pub(super) fn open(
    address: &str,
    connections: usize,
    patience: Duration,
) -> Result<Vec<(Sender, Receiver)>> {
    let open = |_| Connection::open(address, Some(patience)).map(Connection::split);
    let opened: Result<Vec<_>, ClientError> = (0..connections).map(open).collect();
    opened.map_err(|error| Failure::Failed(error.to_string()))
}

/// Every `stride`-th request, from a first one on.
#[derive(Clone, Copy)]
struct Part<'a> {
    began: Instant,
    inputs: &'a [Input<'a>],
    options: InferOptions,
    due_s: &'a [f64],
    stride: usize,
}

impl Part<'_> {
    fn due(&self, index: usize) -> Instant {
        self.began + Duration::from_secs_f64(self.due_s[index])
    }

    fn send(&self, first: usize, mut sender: Sender) -> Vec<Duration> {
        let mut lags = Vec::new();
        for index in (first..self.due_s.len()).step_by(self.stride) {
            let due = self.due(index);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            lags.push(Instant::now().saturating_duration_since(due));
            let input = self.inputs[index % self.inputs.len()].clone();
            if sender.send(&Infer { input, options: self.options }).is_err() {
                break;
            }
        }
        sender.finish();
        lags
    }

    /// Replies until the server has given all and closes.
    fn receive(&self, first: usize, mut receiver: Receiver) -> Vec<(usize, End)> {
        let mut ends = Vec::new();
        while let Ok((request, reply)) = receiver.receive() {
            let index = first + (request as usize - 1) * self.stride;
            let waited = Instant::now().saturating_duration_since(self.due(index));
            match reply {
                Reply::Verdict(verdict) => ends.push((index, End::Answered(waited, verdict))),
                Reply::Failure(failure) => ends.push((index, End::Failed(failure.status))),
                Reply::Pong(_) | Reply::Done | Reply::Json(_) => {}
            }
        }
        ends
    }
}
