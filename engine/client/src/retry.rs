//! One question at a time, to the less busy of several servers, again where that makes sense.

use std::time::{Duration, Instant};

use offramp_protocol::{Failure, Infer, InferOptions, Input, Reply, Status, Verdict};
use parking_lot::Mutex;

use crate::connection::is_last;
use crate::servers::{Server, Servers};
use crate::{ClientError, Connection};

/// When to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// Tries of one question.
    pub tries: usize,
    /// Longest wait for a reply.
    pub timeout: Duration,
    /// Seed of the draw among servers.
    pub seed: u64,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self { tries: 10, timeout: Duration::from_secs(30), seed: 0 }
    }
}

/// A client of one or more servers of the same model.
///
/// Of two drawn at random the one that may be asked sooner is asked (Mitzenmacher, 2001); how soon
/// is what servers said when they were overloaded.
pub struct Client {
    servers: Servers<Own>,
    options: RetryOptions,
}

/// None before it is needed.
type Own = Mutex<Option<Connection>>;

impl Client {
    /// Of servers at `host:port` each; connects when first asked.
    ///
    /// # Panics
    /// There is no address.
    pub fn new<A: Into<String>>(
        addresses: impl IntoIterator<Item = A>,
        options: RetryOptions,
    ) -> Self {
        Self { servers: Servers::new(addresses, options.seed), options }
    }

    /// The answer to one input; in two phases the last one.
    ///
    /// # Errors
    /// What the last try said.
    pub fn classify(
        &mut self,
        input: &Input<'_>,
        options: InferOptions,
    ) -> Result<Verdict, ClientError> {
        let RetryOptions { tries, timeout, .. } = self.options;
        let mut question = Question::new(input, options);
        loop {
            let server = self.servers.choose();
            let infer = question.ask(server.rest_until())?;
            std::thread::sleep(server.rest_until().saturating_duration_since(Instant::now()));
            match server.classify(infer, timeout) {
                Err(error) if error.is_worth_a_retry() && question.tried < tries => {
                    server.rest(&error);
                    question.failed = Some(error);
                }
                result => return result,
            }
        }
    }
}

/// One question over its tries: its deadline runs on between them.
pub(crate) struct Question<'a> {
    infer: Infer<'a>,
    deadline: Option<Instant>,
    pub(crate) tried: usize,
    /// What the last try said.
    pub(crate) failed: Option<ClientError>,
}

impl<'a> Question<'a> {
    pub(crate) fn new(input: &Input<'a>, options: InferOptions) -> Self {
        let budget = options.deadline_us.map(|us| Duration::from_micros(us.into()));
        let deadline = budget.map(|budget| Instant::now() + budget);
        let infer = Infer { input: input.clone(), options };
        Self { infer, deadline, tried: 0, failed: None }
    }

    /// For a try that cannot begin before a time, with what will be left of the deadline.
    ///
    /// # Errors
    /// Nothing will be left: what the last try said.
    pub(crate) fn ask(&mut self, from: Instant) -> Result<&Infer<'a>, ClientError> {
        self.tried += 1;
        let Some(deadline) = self.deadline else { return Ok(&self.infer) };
        let left = deadline.saturating_duration_since(from.max(Instant::now()));
        if left.is_zero() {
            let message = "the servers drawn rest for longer than the deadline";
            let unasked = || ClientError::Failure(Failure::new(Status::DeadlineExpired, message));
            return Err(self.failed.take().unwrap_or_else(unasked));
        }
        self.infer.options.deadline_us = Some((left.as_micros() as u32).max(1));
        Ok(&self.infer)
    }
}

impl Server<Own> {
    fn classify(&self, infer: &Infer<'_>, timeout: Duration) -> Result<Verdict, ClientError> {
        let mut kept = self.connection.lock();
        let connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(&self.address, Some(timeout))?,
        };
        let result = last_reply(kept.insert(connection), infer);
        if result.as_ref().is_err_and(ClientError::ends_connection) {
            *kept = None;
        }
        result
    }
}

fn last_reply(connection: &mut Connection, infer: &Infer<'_>) -> Result<Verdict, ClientError> {
    let sent = connection.send(infer)?;
    loop {
        match connection.receive()? {
            (request, Reply::Verdict(verdict))
                if request == sent && is_last(&verdict, &infer.options) =>
            {
                return Ok(verdict);
            }
            (_, Reply::Failure(failure)) => return Err(ClientError::Failure(failure)),
            // A reply to an earlier question that was given up.
            _ => {}
        }
    }
}
