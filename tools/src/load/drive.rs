//! Sends on schedule, whatever comes back: an open loop.

use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use offramp_client::{Receiver, Sender};
use offramp_protocol::{Infer, InferOptions, Input, Reply, Status, Verdict};

use super::lane::{Again, PATIENCE, open};
use crate::failure::Result;

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// Answered, so long after it was due.
    Answered(Duration, Verdict),
    /// Refused or failed.
    Failed(Status),
    /// The connection broke, or no reply came in time.
    Lost,
    /// There was no connection to send it over.
    Unsent,
}

/// All requests, in the order they were due.
pub(crate) struct Driven {
    pub(crate) ends: Vec<End>,
    /// Which input each was, counted round and round.
    pub(crate) turns: Vec<usize>,
    /// When each was due, or sent where nothing said when, from the start.
    pub(crate) due_s: Vec<f64>,
    /// How long after they were due, and there was a connection, requests were sent.
    pub(crate) lags: Vec<Duration>,
    pub(crate) elapsed: Duration,
    /// When nothing more was sent, for want of a server.
    pub(crate) stopped_s: Option<f64>,
}

/// Sends `inputs` in turn, one at each of `due_s`, over so many connections. One that breaks is
/// made again; where that fails for long, the load stops.
pub(crate) fn drive(
    address: &str,
    connections: usize,
    inputs: &[Input<'_>],
    options: InferOptions,
    due_s: &[f64],
) -> Result<Driven> {
    let patience = PATIENCE + longest_gap(due_s, connections);
    let opened = open(address, connections, patience)?;
    let began = Instant::now();
    let part = Part { began, inputs, options, due_s, stride: connections, address, patience };
    let mut driven = Driven {
        ends: vec![End::Unsent; due_s.len()],
        turns: (0..due_s.len()).collect(),
        due_s: due_s.to_vec(),
        lags: vec![Duration::ZERO; due_s.len()],
        elapsed: Duration::ZERO,
        stopped_s: None,
    };
    let stops: Vec<Option<f64>> = std::thread::scope(|scope| {
        let spawn = |(first, link)| scope.spawn(move || part.send(first, link, scope));
        let threads: Vec<_> = opened.into_iter().enumerate().map(spawn).collect();
        let sent = threads.into_iter().map(|thread| thread.join().unwrap_or_default());
        sent.map(|sent| sent.book(&mut driven)).collect()
    });
    driven.elapsed = began.elapsed();
    let stopped: Option<Vec<f64>> = stops.into_iter().collect();
    if let Some(stopped) = stopped {
        driven.stop(stopped.into_iter().fold(0.0, f64::max));
    }
    Ok(driven)
}

/// The longest time that one of so many connections has nothing to send: its silence is no fault.
fn longest_gap(due_s: &[f64], connections: usize) -> Duration {
    let before = |index: usize| index.checked_sub(connections).map_or(0.0, |at| due_s[at]);
    let gaps = due_s.iter().enumerate().map(|(index, due_s)| due_s - before(index));
    Duration::from_secs_f64(gaps.fold(0.0, f64::max))
}

impl Driven {
    /// Forgets what would have been sent later.
    fn stop(&mut self, at_s: f64) {
        let sent = self.due_s.partition_point(|&due_s| due_s <= at_s);
        self.due_s.truncate(sent);
        self.ends.truncate(sent);
        self.turns.truncate(sent);
        self.lags.truncate(sent);
        self.stopped_s = Some(at_s);
    }
}

/// Every `stride`-th request, from a first one on.
#[derive(Clone, Copy)]
struct Part<'a> {
    began: Instant,
    inputs: &'a [Input<'a>],
    options: InferOptions,
    due_s: &'a [f64],
    stride: usize,
    address: &'a str,
    patience: Duration,
}

/// What one part has to tell: by index, how late it was sent and what became of it.
#[derive(Default)]
struct Sent {
    lags: Vec<(usize, Duration)>,
    ends: Vec<(usize, End)>,
    stopped_s: Option<f64>,
}

impl Sent {
    fn book(self, driven: &mut Driven) -> Option<f64> {
        self.lags.into_iter().for_each(|(index, lag)| driven.lags[index] = lag);
        self.ends.into_iter().for_each(|(index, end)| driven.ends[index] = end);
        self.stopped_s
    }
}

/// A reply, when it came.
type Arrived = (u64, Instant, Reply);

/// A connection in use.
struct Link<'scope> {
    sender: Sender,
    replies: ScopedJoinHandle<'scope, Vec<Arrived>>,
    /// What it has been sent, by the number of the request, from 1.
    sent: Vec<usize>,
    since: Instant,
}

impl<'scope> Link<'scope> {
    fn start<'env>(
        (sender, receiver): (Sender, Receiver),
        scope: &'scope Scope<'scope, 'env>,
    ) -> Self {
        let replies = scope.spawn(move || receive(receiver));
        Self { sender, replies, sent: Vec::new(), since: Instant::now() }
    }

    /// Waits for the replies that still come.
    fn end(self, part: &Part<'_>, ends: &mut Vec<(usize, End)>) {
        let Self { sender, replies, sent, .. } = self;
        sender.finish();
        ends.extend(sent.iter().map(|&index| (index, End::Lost)));
        for (request, at, reply) in replies.join().unwrap_or_default() {
            let Some(&index) = sent.get((request as usize).wrapping_sub(1)) else { continue };
            let waited = at.saturating_duration_since(part.due(index));
            match reply {
                Reply::Verdict(verdict) => ends.push((index, End::Answered(waited, verdict))),
                Reply::Failure(failure) => ends.push((index, End::Failed(failure.status))),
                Reply::Pong(_) | Reply::Done | Reply::Json(_) => {}
            }
        }
    }
}

impl<'env> Part<'env> {
    fn due(&self, index: usize) -> Instant {
        self.began + Duration::from_secs_f64(self.due_s[index])
    }

    fn send<'scope>(
        self,
        first: usize,
        opened: (Sender, Receiver),
        scope: &'scope Scope<'scope, 'env>,
    ) -> Sent {
        let mut sent = Sent::default();
        let mut link = Some(Link::start(opened, scope));
        let mut again = Again::new();
        for index in (first..self.due_s.len()).step_by(self.stride) {
            let due = self.due(index);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if let Some(broken) = link.take_if(|link| link.replies.is_finished()) {
                broken.end(&self, &mut sent.ends);
                again = Again::new();
            }
            if link.is_none() {
                let opened = again.connect(self.address, self.patience);
                link = opened.map(|opened| Link::start(opened, scope));
            }
            match &mut link {
                Some(link) => sent.lags.push((index, self.send_one(index, link))),
                None if again.is_hopeless() => {
                    sent.stopped_s = Some(self.due_s[index]);
                    return sent;
                }
                None => {}
            }
        }
        if let Some(link) = link {
            link.end(&self, &mut sent.ends);
        }
        sent
    }

    /// How late it was sent. What cannot be written was written to a server that is gone: its
    /// replies end too, and the request is lost.
    fn send_one(&self, index: usize, link: &mut Link<'_>) -> Duration {
        let could = self.due(index).max(link.since);
        let lag = Instant::now().saturating_duration_since(could);
        let mut options = self.options;
        // The server counts from when it reads the request: what was lost here is taken off.
        let lag_us = u32::try_from(lag.as_micros()).unwrap_or(u32::MAX);
        options.deadline_us = options.deadline_us.map(|us| us.saturating_sub(lag_us).max(1));
        let input = self.inputs[index % self.inputs.len()].clone();
        link.sent.push(index);
        let _ = link.sender.send(&Infer { input, options });
        lag
    }
}

/// Replies until the server has given all and closes.
fn receive(mut receiver: Receiver) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    while let Ok((request, reply)) = receiver.receive() {
        arrived.push((request, Instant::now(), reply));
    }
    arrived
}
