//! Which rows run next.

use std::collections::BTreeMap;

use super::latency::PassLatency;
use crate::batch::Limits;

/// Under [`Policy::Deadline`], a request without a deadline takes its turn as if it had this one.
const PATIENCE_US: u64 = 1_000_000;

/// A waiting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The caller's name for it.
    pub id: u64,
    /// When it came.
    pub arrival_us: u64,
    /// When its answer is of no use any more.
    pub deadline_us: Option<u64>,
    /// Tokens of its row; an image counts as one.
    pub tokens: usize,
}

/// When a batch is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// In order of arrival, once the batch is full or the oldest request has waited so long (as in
    /// TensorFlow Serving, arXiv 1712.06139).
    Window {
        /// Longest wait for company.
        delay_us: u64,
    },
    /// At once, by earliest deadline, as many rows as are predicted to end before the earliest of
    /// their deadlines (as in Clockwork, OSDI 2020).
    Deadline,
}

/// How a batcher picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatcherOptions {
    /// When a batch is ready.
    pub policy: Policy,
    /// Largest batch.
    pub limits: Limits,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Run what was picked.
    Run,
    /// Nothing before this time, unless somebody comes.
    WaitUntil(u64),
    /// Nobody waits.
    Idle,
}

/// The waiting requests. Whoever pushes bounds their number.
#[derive(Debug)]
pub struct Batcher {
    options: BatcherOptions,
    /// By turn, then by arrival here.
    waiting: BTreeMap<(u64, u64), Ticket>,
    pushed: u64,
}

impl Batcher {
    /// Nobody waits.
    pub fn new(options: BatcherOptions) -> Self {
        Self { options, waiting: BTreeMap::new(), pushed: 0 }
    }

    /// Number of waiting requests.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a request that fits an empty batch.
    pub fn push(&mut self, ticket: Ticket) {
        let turn_us = match self.options.policy {
            Policy::Window { .. } => 0,
            Policy::Deadline => {
                ticket.deadline_us.unwrap_or_else(|| ticket.arrival_us.saturating_add(PATIENCE_US))
            }
        };
        self.waiting.insert((turn_us, self.pushed), ticket);
        self.pushed += 1;
    }

    /// Moves to `picked` what is to run now, and to `late` everything whose deadline cannot be met
    /// any more even alone; both are appended to.
    pub fn next(
        &mut self,
        now_us: u64,
        latency: &PassLatency,
        picked: &mut Vec<Ticket>,
        late: &mut Vec<Ticket>,
    ) -> Next {
        let in_time = |ticket: &Ticket| {
            let end_us = now_us + latency.predict_us(ticket.tokens);
            ticket.deadline_us.is_none_or(|deadline_us| end_us <= deadline_us)
        };
        late.extend(self.waiting.extract_if(.., |_, ticket| !in_time(ticket)).map(|(_, t)| t));
        let Some(wait_until_us) = self.ready_at_us() else { return Next::Idle };
        if wait_until_us > now_us {
            return Next::WaitUntil(self.first_useless_us(latency).min(wait_until_us));
        }
        self.pick(now_us, latency, picked);
        Next::Run
    }

    /// From when on the first batch may run; none without one.
    fn ready_at_us(&self) -> Option<u64> {
        let Policy::Window { delay_us } = self.options.policy else {
            return (!self.is_empty()).then_some(0);
        };
        let oldest_us = self.waiting.values().map(|ticket| ticket.arrival_us).min()?;
        let tokens: usize = self.waiting.values().map(|ticket| ticket.tokens).sum();
        let Limits { rows_max, tokens_max } = self.options.limits;
        let is_full = self.len() >= rows_max || tokens >= tokens_max;
        Some(if is_full { 0 } else { oldest_us.saturating_add(delay_us) })
    }

    /// When the first waiting request must be refused.
    fn first_useless_us(&self, latency: &PassLatency) -> u64 {
        let useless_us = |ticket: &Ticket| {
            let latest_us = ticket.deadline_us?.saturating_sub(latency.predict_us(ticket.tokens));
            Some(latest_us + 1)
        };
        self.waiting.values().filter_map(useless_us).min().unwrap_or(u64::MAX)
    }

    fn pick(&mut self, now_us: u64, latency: &PassLatency, picked: &mut Vec<Ticket>) {
        let Limits { rows_max, tokens_max } = self.options.limits;
        let (mut rows, mut tokens, mut earliest_us) = (0, 0, u64::MAX);
        while let Some(entry) = self.waiting.first_entry() {
            let ticket = *entry.get();
            tokens += ticket.tokens;
            earliest_us = earliest_us.min(ticket.deadline_us.unwrap_or(u64::MAX));
            let fits = rows < rows_max && tokens <= tokens_max;
            let in_time = now_us.saturating_add(latency.predict_us(tokens)) <= earliest_us;
            if rows > 0 && !(fits && in_time) {
                break;
            }
            picked.push(entry.remove());
            rows += 1;
        }
    }
}
