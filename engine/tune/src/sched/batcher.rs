//! Which rows run next.

use std::collections::BTreeMap;

use offramp::Limits;

use super::latency::PassLatency;

/// Under [`Policy::Deadline`], a request without a deadline takes its turn as if it had this one.
const PATIENCE_US: u64 = 1_000_000;

/// What is known of a waiting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// When it came.
    pub arrival_us: u64,
    /// When its answer is of no use any more.
    pub deadline_us: Option<u64>,
    /// Tokens of its row, as [`RowRules::tokens`](offramp::RowRules::tokens) counts them.
    pub tokens: usize,
}

impl Ticket {
    /// Whether it ends in time if it runs now and alone.
    fn is_in_time(&self, now_us: u64, latency: &PassLatency) -> bool {
        let end_us = now_us.saturating_add(latency.predict_us(self.tokens));
        self.deadline_us.is_none_or(|deadline_us| end_us <= deadline_us)
    }
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
    /// their deadlines (as in Clockwork, OSDI 2020). Where not all can be met, the most urgent
    /// are given up if more of the others end in time for it.
    Deadline,
}

/// How a batcher picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatcherOptions {
    /// When a batch is ready.
    pub policy: Policy,
    /// Largest batch, as [`RowRules::limits`](offramp::RowRules::limits) has it.
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

/// The waiting requests, each a ticket and what the caller has of it. Whoever pushes bounds their
/// number.
#[derive(Debug)]
pub struct Batcher<T> {
    options: BatcherOptions,
    /// By turn, then by arrival here.
    waiting: BTreeMap<(u64, u64), (Ticket, T)>,
    pushed: u64,
}

impl<T> Batcher<T> {
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

    /// Gives back all that waits.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.waiting).into_values().map(|(_, request)| request)
    }

    /// Takes out those of whom `is_gone` says that nobody waits for them.
    pub fn remove_if(&mut self, mut is_gone: impl FnMut(&T) -> bool) -> impl Iterator<Item = T> {
        let gone = move |_: &(u64, u64), waiting: &mut (Ticket, T)| is_gone(&waiting.1);
        self.waiting.extract_if(.., gone).map(|(_, (_, request))| request)
    }

    /// Takes a request that fits an empty batch.
    pub fn push(&mut self, ticket: Ticket, request: T) {
        let turn_us = match self.options.policy {
            Policy::Window { .. } => 0,
            Policy::Deadline => {
                ticket.deadline_us.unwrap_or_else(|| ticket.arrival_us.saturating_add(PATIENCE_US))
            }
        };
        self.waiting.insert((turn_us, self.pushed), (ticket, request));
        self.pushed += 1;
    }

    /// Moves to `picked` what is to run now, and to `late` everything whose deadline cannot be met
    /// any more even alone, now or after what was picked; both are appended to.
    pub fn next(
        &mut self,
        now_us: u64,
        latency: &PassLatency,
        picked: &mut Vec<T>,
        late: &mut Vec<T>,
    ) -> Next {
        self.give_up(now_us, latency, late);
        let Some(wait_until_us) = self.ready_at_us() else { return Next::Idle };
        if wait_until_us > now_us {
            return Next::WaitUntil(self.first_useless_us(latency).min(wait_until_us));
        }
        let tokens = self.pick(now_us, latency, picked);
        self.give_up(now_us + latency.expect_us(tokens), latency, late);
        Next::Run
    }

    /// Moves to `late` whose deadline cannot be met from `free_us` on.
    fn give_up(&mut self, free_us: u64, latency: &PassLatency, late: &mut Vec<T>) {
        let is_late =
            |_: &(u64, u64), waiting: &mut (Ticket, T)| !waiting.0.is_in_time(free_us, latency);
        late.extend(self.waiting.extract_if(.., is_late).map(|(_, (_, request))| request));
    }

    /// From when on the first batch may run; none without one.
    fn ready_at_us(&self) -> Option<u64> {
        let Policy::Window { delay_us } = self.options.policy else {
            return (!self.is_empty()).then_some(0);
        };
        let oldest_us = self.tickets().map(|ticket| ticket.arrival_us).min()?;
        let tokens: usize = self.tickets().map(|ticket| ticket.tokens).sum();
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
        self.tickets().filter_map(useless_us).min().unwrap_or(u64::MAX)
    }

    /// In their turns.
    fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.waiting.values().map(|(ticket, _)| ticket)
    }

    /// Tells how many tokens it picked.
    fn pick(&mut self, now_us: u64, latency: &PassLatency, picked: &mut Vec<T>) -> usize {
        let limits = self.options.limits;
        let tickets: Vec<Ticket> = self.tickets().copied().collect();
        let plan = Plan { tickets: &tickets, limits, latency };
        let skipped = match self.options.policy {
            Policy::Window { .. } => 0,
            Policy::Deadline => plan.worth_skipping(now_us),
        };
        let rows = plan.batch(skipped, now_us).0;
        let turns: Vec<(u64, u64)> =
            self.waiting.keys().skip(skipped).take(rows).copied().collect();
        picked.extend(turns.iter().filter_map(|turn| Some(self.waiting.remove(turn)?.1)));
        tickets[skipped..skipped + rows].iter().map(|ticket| ticket.tokens).sum()
    }
}

/// The queue in its order; each of it could still end in time alone.
struct Plan<'a> {
    tickets: &'a [Ticket],
    limits: Limits,
    latency: &'a PassLatency,
}

impl Plan<'_> {
    /// The batch that begins with ticket `from`: how many rows, and when it ends. It grows while
    /// the earliest deadline in it is met.
    fn batch(&self, from: usize, now_us: u64) -> (usize, u64) {
        let Limits { rows_max, tokens_max } = self.limits;
        let (mut rows, mut tokens, mut earliest_us, mut end_us) = (0, 0, u64::MAX, now_us);
        for ticket in self.tickets.iter().skip(from).take(rows_max) {
            tokens += ticket.tokens;
            earliest_us = earliest_us.min(ticket.deadline_us.unwrap_or(u64::MAX));
            let longer_us = now_us.saturating_add(self.latency.predict_us(tokens));
            if rows > 0 && (tokens > tokens_max || longer_us > earliest_us) {
                break;
            }
            (rows, end_us) = (rows + 1, longer_us);
        }
        (rows, end_us)
    }

    /// Rows that end in time if the first batch begins with ticket `from`.
    fn in_time(&self, from: usize, now_us: u64) -> usize {
        let (mut at, mut now_us, mut answered) = (from, now_us, 0);
        while let Some(ticket) = self.tickets.get(at) {
            if !ticket.is_in_time(now_us, self.latency) {
                at += 1;
                continue;
            }
            let (rows, end_us) = self.batch(at, now_us);
            (at, answered, now_us) = (at + rows, answered + rows, end_us);
        }
        answered
    }

    /// How many of the most urgent rows to give up, where more of the others end in time for it:
    /// under overload every batch would else be as small as its most urgent row wants.
    fn worth_skipping(&self, now_us: u64) -> usize {
        let all = self.in_time(0, now_us);
        if all == self.tickets.len() {
            return 0;
        }
        let sizes = std::iter::successors(Some(2), |size| Some(size * 2));
        let sizes = sizes.take_while(|&size| size <= self.limits.rows_max);
        let skips = sizes.filter_map(|size| self.first_of(size, now_us));
        let judged = skips.map(|skipped| (skipped, self.in_time(skipped, now_us)));
        judged.fold((0, all), |best, next| if next.1 > best.1 { next } else { best }).0
    }

    /// The most urgent row that so many rows, itself the first, can be run with. A row without a
    /// deadline is not passed over: nothing would ever end its wait.
    fn first_of(&self, rows: usize, now_us: u64) -> Option<usize> {
        let passable = self.tickets.iter().take_while(|ticket| ticket.deadline_us.is_some());
        let last = passable.count().min(self.tickets.len() - 1);
        (0..=last).find(|&from| self.batch(from, now_us).0 >= rows)
    }
}
