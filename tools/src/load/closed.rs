//! Sends the next request once earlier ones are answered: a closed loop, as MLPerf's scenarios ask
//! for (LoadGen; arXiv 1911.02549).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use offramp_client::{Receiver, Sender};
use offramp_protocol::{Infer, InferOptions, Input, Reply};

use super::drive::{Driven, End};
use super::lane::{Again, open};
use crate::failure::Result;

/// Who waits for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loop {
    pub(crate) connections: usize,
    /// Requests of a connection at a time.
    pub(crate) in_flight: usize,
    /// Whether they are one query: the next is sent once all are answered, and each of them took
    /// as long as the last.
    pub(crate) is_query: bool,
    /// Longest wait for a reply.
    pub(crate) patience: Duration,
}

/// A request that has ended.
struct Done {
    index: usize,
    sent: Instant,
    end: End,
}

/// Sends `inputs` in turn for so long.
pub(crate) fn drive(
    address: &str,
    shape: Loop,
    inputs: &[Input<'_>],
    options: InferOptions,
    seconds: f64,
) -> Result<Driven> {
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let goes_on = move |_| Instant::now() < until;
    drive_while(address, shape, inputs, options, &goes_on)
}

/// Sends each of `inputs` once.
pub(crate) fn all(
    address: &str,
    shape: Loop,
    inputs: &[Input<'_>],
    options: InferOptions,
) -> Result<Driven> {
    let count = inputs.len();
    drive_while(address, shape, inputs, options, &move |index| index < count)
}

/// Sends while the index of the next request may be sent.
fn drive_while(
    address: &str,
    shape: Loop,
    inputs: &[Input<'_>],
    options: InferOptions,
    goes_on: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Driven> {
    let opened = open(address, shape.connections, shape.patience)?;
    let began = Instant::now();
    let all: Vec<(Vec<Done>, Option<Instant>)> = std::thread::scope(|scope| {
        let run = |(first, (sender, receiver))| {
            let one = One { address, sender, receiver, shape, inputs, options, next: first };
            scope.spawn(move || one.run(goes_on))
        };
        let threads: Vec<_> = opened.into_iter().enumerate().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
    });
    let stops = all.iter().map(|(_, stopped)| stopped.map(|at| (at - began).as_secs_f64()));
    let stops: Option<Vec<f64>> = stops.collect();
    let mut done: Vec<Done> = all.into_iter().flat_map(|(done, _)| done).collect();
    // Indices have holes where connections differ in speed; their order is that of the inputs.
    done.sort_by_key(|done| done.index);
    Ok(Driven {
        due_s: done.iter().map(|done| (done.sent - began).as_secs_f64()).collect(),
        lags: vec![Duration::ZERO; done.len()],
        turns: done.iter().map(|done| done.index).collect(),
        ends: done.into_iter().map(|done| done.end).collect(),
        elapsed: began.elapsed(),
        stopped_s: stops.map(|stops| stops.into_iter().fold(0.0, f64::max)),
    })
}

/// One connection.
struct One<'a> {
    address: &'a str,
    sender: Sender,
    receiver: Receiver,
    shape: Loop,
    inputs: &'a [Input<'a>],
    options: InferOptions,
    /// Index of the next request.
    next: usize,
}

impl One<'_> {
    /// What has ended, and when hope was lost, where it was.
    fn run(mut self, goes_on: &(dyn Fn(usize) -> bool + Sync)) -> (Vec<Done>, Option<Instant>) {
        let (mut done, mut again, mut told) = (Vec::new(), Again::new(), 0);
        while !self.converse(goes_on, &mut done) {
            let is_heard = done[told..].iter().any(|done| !matches!(done.end, End::Lost));
            told = done.len();
            // One that hangs lets others connect, and is as good as gone.
            if is_heard {
                again = Again::new();
            }
            loop {
                if !goes_on(self.next) {
                    return (done, None);
                }
                if again.is_hopeless() {
                    return (done, Some(Instant::now()));
                }
                std::thread::sleep(again.pause());
                if let Some(opened) = again.connect(self.address, self.shape.patience) {
                    (self.sender, self.receiver) = opened;
                    break;
                }
            }
        }
        (done, None)
    }

    /// Asks until nothing more may be sent and all is answered: false where the connection breaks.
    fn converse(&mut self, goes_on: &(dyn Fn(usize) -> bool + Sync), done: &mut Vec<Done>) -> bool {
        let mut open = HashMap::new();
        let Loop { in_flight, is_query, .. } = self.shape;
        loop {
            let may_send = open.is_empty() || !is_query;
            while may_send && open.len() < in_flight && goes_on(self.next) {
                let Some((request, sent)) = self.send() else { return lost(done, open) };
                open.insert(request, sent);
            }
            if open.is_empty() {
                return true;
            }
            let mut last = Instant::now();
            let from = done.len();
            for _ in 0..if is_query { open.len() } else { 1 } {
                let Ok((request, reply)) = self.receiver.receive() else { return lost(done, open) };
                let Some((index, sent)) = open.remove(&request) else { continue };
                last = Instant::now();
                let end = match reply {
                    Reply::Verdict(verdict) => End::Answered(last - sent, verdict),
                    Reply::Failure(failure) => End::Failed(failure.status),
                    _ => End::Lost,
                };
                done.push(Done { index, sent, end });
            }
            if is_query {
                done[from..].iter_mut().for_each(|done| done.took_until(last));
            }
        }
    }

    /// The request's number, its index and when it was sent.
    fn send(&mut self) -> Option<(u64, (usize, Instant))> {
        let (index, sent) = (self.next, Instant::now());
        self.next += self.shape.connections;
        let input = self.inputs[index % self.inputs.len()].clone();
        let request = self.sender.send(&Infer { input, options: self.options }).ok()?;
        Some((request, (index, sent)))
    }
}

impl Done {
    fn took_until(&mut self, last: Instant) {
        if let End::Answered(waited, _) = &mut self.end {
            *waited = last - self.sent;
        }
    }
}

/// The connection broke: false.
fn lost(done: &mut Vec<Done>, open: HashMap<u64, (usize, Instant)>) -> bool {
    done.extend(open.into_values().map(|(index, sent)| Done { index, sent, end: End::Lost }));
    false
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let mute = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = mute.local_addr().unwrap().to_string();
        let patience = Duration::from_secs(1);
        let shape = Loop { connections: 1, in_flight: 1, is_query: false, patience };
        let inputs = vec![Input::Text("Who?", None); 40];
        let driven = all(&address, shape, &inputs, InferOptions::default()).unwrap();
        assert!(driven.stopped_s.is_some() && driven.ends.len() < 20, "{}", driven.ends.len());
        assert!(driven.ends.iter().all(|end| matches!(end, End::Lost)));
    }
}
