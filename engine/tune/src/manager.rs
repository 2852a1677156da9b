//! Which ramps run. A ramp earns what its leavers save and costs its time to whoever passes it
//! (Apparate, SOSP 2024, section 3.3); those that cost more go off, and others are tried.
//!
//! A trial is low in risk: the ramp runs and shows what it would say, but lets nobody out until a
//! search has found a threshold for it. A ramp that fails its trial waits longer for the next, so
//! that sets do not swing to and fro.

use super::latency::Latency;
use super::replay::Replay;

/// How a manager behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ManagerOptions {
    /// What ramps may add to a row that never leaves, as a share of the forward.
    pub overhead_max: f64,
    /// Rows between two looks.
    pub period_rows: usize,
    /// Looks in a row at which a ramp must have lost before it goes off.
    pub losses_max: u32,
}

impl Default for ManagerOptions {
    fn default() -> Self {
        Self { overhead_max: 0.02, period_rows: 1024, losses_max: 4 }
    }
}

/// What is remembered of a ramp.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Past {
    losses: u32,
    /// Looks until it may be tried again, and how many it will be the next time.
    rest: u32,
    next_rest: u32,
    /// Share of the rows reaching it that it last let out.
    rate: f64,
}

/// Looks on a ramp must wait at most.
const REST_MAX: u32 = 64;

/// Decides which ramps run. Pure.
#[derive(Clone, Debug, PartialEq)]
pub struct Manager {
    options: ManagerOptions,
    past: Vec<Past>,
    active: Vec<bool>,
}

impl Manager {
    /// Begins with the ramps that a calibration let rows leave at (`rates`: by ramp, the share of
    /// all rows), those that earn most for their time first, as far as the budget goes. Without
    /// rates ramps are spread evenly.
    pub fn new(options: ManagerOptions, latency: &Latency, rates: Option<&[f64]>) -> Self {
        let ramps = latency.ramps();
        let worth = |ramp: usize| match rates {
            Some(rates) => rates[ramp] * latency.left_us(ramp) / latency.ramp_us(ramp).max(1e-9),
            // 1/2, then 1/4 and 3/4, ...: the index's bits reversed.
            None => 1.0 / f64::from((ramp as u32 + 1).reverse_bits()),
        };
        let mut order: Vec<usize> = (0..ramps).filter(|&ramp| worth(ramp) > 0.0).collect();
        order.sort_by(|&a, &b| worth(b).total_cmp(&worth(a)).then(a.cmp(&b)));
        let past = |ramp: usize| Past { rate: rates.map_or(1.0, |r| r[ramp]), ..Past::default() };
        let past = (0..ramps).map(past).collect();
        let mut manager = Self { options, past, active: vec![false; ramps] };
        order.into_iter().for_each(|ramp| manager.admit(ramp, latency));
        manager
    }

    /// Rows between two looks.
    pub fn period_rows(&self) -> usize {
        self.options.period_rows
    }

    /// Ramps that run.
    pub fn active(&self) -> &[bool] {
        &self.active
    }

    /// Looks at what active ramps could do to a window (`replay`: by active ramp); the new set
    /// where it should change.
    pub fn step(&mut self, replay: &Replay, latency: &Latency) -> Option<Vec<bool>> {
        let before = self.active.clone();
        self.judge(replay, latency);
        self.past.iter_mut().for_each(|past| past.rest = past.rest.saturating_sub(1));
        while !self.is_affordable(latency) {
            let last = self.active.iter().rposition(|&active| active)?;
            self.retire(last);
        }
        if self.active == before {
            self.explore(replay, latency);
        }
        (self.active != before).then(|| self.active.clone())
    }

    /// By active ramp: microseconds that it saves a row on the mean, less what it costs it.
    fn utilities(&self, replay: &Replay, latency: &Latency) -> Vec<f64> {
        let ramps: Vec<usize> = (0..self.active.len()).filter(|&ramp| self.active[ramp]).collect();
        let utility = |(nth, &ramp): (usize, &usize)| {
            let next = ramps.get(nth + 1).copied().unwrap_or(self.active.len());
            let saved_us = latency.before_us(next) - latency.before_us(ramp);
            let leave = replay.share(nth..=nth);
            let pass = replay.share(nth + 1..);
            leave * saved_us - pass * latency.ramp_us(ramp)
        };
        ramps.iter().enumerate().map(utility).collect()
    }

    fn judge(&mut self, replay: &Replay, latency: &Latency) {
        let utilities = self.utilities(replay, latency);
        let ramps: Vec<usize> = (0..self.active.len()).filter(|&ramp| self.active[ramp]).collect();
        for (nth, (&ramp, utility)) in ramps.iter().zip(utilities).enumerate() {
            let past = &mut self.past[ramp];
            past.rate = replay.share(nth..=nth);
            past.losses = if utility < 0.0 { past.losses + 1 } else { 0 };
            if utility > 0.0 {
                past.next_rest = 0;
            }
            if past.losses >= self.options.losses_max {
                self.retire(ramp);
            }
        }
    }

    fn retire(&mut self, ramp: usize) {
        let past = &mut self.past[ramp];
        past.next_rest = (2 * past.next_rest).clamp(4, REST_MAX);
        (past.rest, past.losses) = (past.next_rest, 0);
        self.active[ramp] = false;
    }

    /// Tries the idle ramp that could earn most: at best it lets out what idle ramps behind it and
    /// the next active one let out when they were last seen.
    fn explore(&mut self, replay: &Replay, latency: &Latency) {
        let passing = replay.share(replay.exits.len() - 1..);
        let gain = |ramp: usize| {
            let next = (ramp + 1..self.active.len()).find(|&later| self.active[later]);
            let last = next.unwrap_or(self.active.len() - 1);
            let most: f64 = (ramp..=last).map(|later| self.past[later].rate).sum();
            let until = next.unwrap_or(self.active.len());
            let saved_us = latency.before_us(until) - latency.before_us(ramp);
            most.min(1.0) * saved_us - passing * latency.ramp_us(ramp)
        };
        let idle = (0..self.active.len()).filter(|&ramp| !self.active[ramp]);
        let rested = idle.filter(|&ramp| self.past[ramp].rest == 0);
        // Of equal gains the later one: its answers are surer.
        let best = rested.max_by(|&a, &b| gain(a).total_cmp(&gain(b)).then(a.cmp(&b)));
        if let Some(ramp) = best.filter(|&ramp| gain(ramp) > 0.0) {
            self.admit(ramp, latency);
        }
    }

    /// Switches a ramp on if the budget allows it.
    fn admit(&mut self, ramp: usize, latency: &Latency) {
        self.active[ramp] = true;
        self.active[ramp] = self.is_affordable(latency);
    }

    fn is_affordable(&self, latency: &Latency) -> bool {
        latency.overhead(&self.active) <= self.options.overhead_max + 1e-9
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::ShapeProfile;

    /// Four segments of 100 us, three ramps of `ramp_us`.
    fn latency(ramp_us: f64) -> Latency {
        let exit_us = vec![Some(ramp_us), Some(ramp_us), Some(ramp_us), Some(0.0)];
        let segment_us = vec![100.0; 4];
        let shape = ShapeProfile { rows: 8, row_tokens: 1, segment_us, exit_us, compact_us: None };
        Latency::of(&[0, 1, 2], &shape)
    }

    fn replay(exits: &[u64]) -> Replay {
        Replay { agreement: 1.0, disagreements: 0, exits: exits.to_vec(), mean_depth: 1.0 }
    }

    #[test]
    fn what_earns_most_for_its_time_begins_within_the_budget() {
        let rates = [0.1, 0.5, 0.0];
        let begin = |overhead_max, rates: Option<&[f64]>| {
            let options = ManagerOptions { overhead_max, ..Default::default() };
            Manager::new(options, &latency(4.0), rates).active().to_vec()
        };
        assert_eq!(begin(0.02, Some(&rates)), [true, true, false]);
        assert_eq!(begin(0.01, Some(&rates)), [false, true, false]);
        assert_eq!(begin(0.03, None), [true; 3]);
        assert_eq!(begin(0.001, Some(&rates)), [false; 3]);
    }

    #[test]
    fn a_ramp_that_loses_again_and_again_goes_off_and_rests() {
        let latency = latency(2.0);
        let mut manager = Manager::new(ManagerOptions::default(), &latency, Some(&[0.3; 3]));
        let idle_second = replay(&[50, 0, 20, 30]);
        assert!(manager.utilities(&idle_second, &latency)[1] < 0.0);
        for _ in 0..3 {
            assert_eq!(manager.step(&idle_second, &latency), None, "too little proof");
        }
        let two = manager.step(&idle_second, &latency);
        assert_eq!(two, Some(vec![true, false, true]));
        let without = replay(&[50, 20, 30]);
        let looks = (1..).find(|_| manager.step(&without, &latency).is_some());
        assert!(looks >= Some(3), "tried again at once: {looks:?}");
    }

    #[test]
    fn an_idle_ramp_that_may_earn_is_tried() {
        let latency = latency(2.0);
        let options = ManagerOptions { overhead_max: 0.02, ..Default::default() };
        let mut manager = Manager::new(options, &latency, Some(&[0.0, 0.5, 0.4]));
        assert_eq!(manager.active(), [false, true, true]);
        assert_eq!(manager.step(&replay(&[60, 10, 30]), &latency), Some(vec![true; 3]));
    }
}
