//! A server with a virtual clock under random load, by seeds.

use std::collections::HashSet;

use offramp::Limits;

use super::*;
use crate::profile::ShapeProfile;

const SEEDS: u64 = 100_000;

/// A machine that takes `fixed_us` and `token_us` for each token.
fn shapes(fixed_us: f64, token_us: f64) -> Vec<ShapeProfile> {
    let shape = |rows: usize| ShapeProfile {
        rows,
        row_tokens: 8,
        segment_us: vec![fixed_us + token_us * (8 * rows) as f64],
        exit_us: vec![Some(0.0)],
        compact_us: None,
    };
    vec![shape(1), shape(4), shape(16)]
}

fn model(fixed_us: f64, token_us: f64) -> PassLatency {
    PassLatency::fitted(&shapes(fixed_us, token_us), false)
}

/// A request by its number.
#[derive(Clone, Copy)]
struct Asked {
    id: u64,
    ticket: Ticket,
}

fn asked(id: u64, arrival_us: u64, deadline_us: Option<u64>, tokens: usize) -> Asked {
    Asked { id, ticket: Ticket { arrival_us, deadline_us, tokens } }
}

fn push(batcher: &mut Batcher<Asked>, asked: Asked) {
    batcher.push(asked.ticket, asked);
}

fn batcher(policy: Policy) -> Batcher<Asked> {
    Batcher::new(BatcherOptions { policy, limits: Limits { rows_max: 4, tokens_max: 40 } })
}

fn ids(asked: &[Asked]) -> Vec<u64> {
    asked.iter().map(|asked| asked.id).collect()
}

/// What `next` says, picks and refuses.
fn next(
    batcher: &mut Batcher<Asked>,
    now_us: u64,
    model: &PassLatency,
) -> (Next, Vec<u64>, Vec<u64>) {
    let (mut picked, mut late) = (Vec::new(), Vec::new());
    let next = batcher.next(now_us, model, &mut picked, &mut late);
    (next, ids(&picked), ids(&late))
}

#[test]
fn a_line_is_found_again_and_corrected_by_what_passes_took() {
    let mut model = model(100.0, 5.0);
    assert!((495..=505).contains(&model.predict_us(80)), "{}", model.predict_us(80));
    for _ in 0..20 {
        model.learn(Work { tokens: 80, share: 1.0 }, 1000);
    }
    assert!((990..=1000).contains(&model.predict_us(80)), "{}", model.predict_us(80));
    let before = model.factor();
    model.learn(Work { tokens: 80, share: 0.5 }, 600);
    assert!((model.factor() - before).abs() < 0.01, "half the work in 300 us, twice as slow");
}

#[test]
fn a_doubted_prediction_is_corrected_by_the_next_pass() {
    let mut model = model(100.0, 5.0);
    model.learn(Work { tokens: 80, share: 1.0 }, 40_000);
    let stalled = model.predict_us(80);
    assert!(stalled > 5000, "{stalled}");
    (0..5).for_each(|_| model.doubt());
    assert!(model.predict_us(80) < 500);
    (0..40).for_each(|_| model.learn(Work { tokens: 80, share: 1.0 }, 500));
    assert!((400..=550).contains(&model.predict_us(80)), "{}", model.predict_us(80));
    (0..100).for_each(|_| model.doubt());
    assert!(model.predict_us(80) > 0);
}

#[test]
fn silence_is_no_reason_to_doubt_and_refusals_without_end_are() {
    let mut refusals = Refusals::default();
    assert!((1..8).all(|hour| !refusals.refuse(hour * 3_600_000_000)), "a few, hours apart");
    refusals.pass();
    let doubts = (0..100).filter(|_| refusals.refuse(40_000_000_000)).count();
    assert_eq!(doubts, 0, "many at one time");
    refusals.pass();
    let at_us = |step: u64| 50_000_000_000 + step * 10_000;
    let doubts: Vec<u64> = (0..30).filter(|&step| refusals.refuse(at_us(step))).collect();
    assert_eq!(doubts, [10, 21], "each after 100 ms");
}

#[test]
fn who_is_taken_out_waits_no_more() {
    let (mut batcher, model) = (batcher(Policy::Window { delay_us: 50 }), model(10.0, 1.0));
    (0..4).for_each(|id| push(&mut batcher, asked(id, 0, None, 8)));
    let gone: Vec<Asked> = batcher.remove_if(|asked| asked.id % 2 == 0).collect();
    assert_eq!((ids(&gone), batcher.len()), (vec![0, 2], 2));
    assert_eq!(next(&mut batcher, 0, &model).0, Next::WaitUntil(50), "it is not full any more");
    assert_eq!(next(&mut batcher, 50, &model), (Next::Run, vec![1, 3], vec![]));
}

#[test]
fn a_window_waits_for_company_and_no_longer() {
    let (mut batcher, model) = (batcher(Policy::Window { delay_us: 50 }), model(10.0, 1.0));
    assert_eq!(next(&mut batcher, 0, &model).0, Next::Idle);
    push(&mut batcher, asked(1, 100, None, 8));
    assert_eq!(next(&mut batcher, 110, &model).0, Next::WaitUntil(150));
    push(&mut batcher, asked(2, 120, None, 8));
    assert_eq!(next(&mut batcher, 150, &model), (Next::Run, vec![1, 2], vec![]));
    for id in 3..9 {
        push(&mut batcher, asked(id, 160, None, 8));
    }
    assert_eq!(next(&mut batcher, 160, &model), (Next::Run, vec![3, 4, 5, 6], vec![]), "full");
    assert_eq!(next(&mut batcher, 161, &model).0, Next::WaitUntil(210));
}

#[test]
fn what_cannot_be_met_is_refused_before_it_is_run_and_in_time() {
    let (mut batcher, model) = (batcher(Policy::Window { delay_us: 500 }), model(100.0, 0.0));
    push(&mut batcher, asked(1, 0, Some(250), 8));
    assert_eq!(next(&mut batcher, 0, &model), (Next::WaitUntil(151), vec![], vec![]));
    assert_eq!(next(&mut batcher, 151, &model), (Next::Idle, vec![], vec![1]));
}

#[test]
fn the_largest_batch_that_meets_the_earliest_deadline() {
    let (mut batcher, model) = (batcher(Policy::Deadline), model(0.0, 10.0));
    for (id, deadline_us) in [(1, None), (2, Some(900)), (3, Some(170)), (4, Some(5000))] {
        push(&mut batcher, asked(id, 0, deadline_us, 8));
    }
    assert_eq!(next(&mut batcher, 0, &model), (Next::Run, vec![3, 2], vec![]));
    assert_eq!(next(&mut batcher, 160, &model), (Next::Run, vec![4, 1], vec![]));
}

#[test]
fn a_request_without_a_deadline_is_not_starved() {
    let (mut batcher, model) = (batcher(Policy::Deadline), model(0.0, 1000.0));
    push(&mut batcher, asked(0, 0, None, 20));
    let ran_at = (1..200).position(|at| {
        let now_us = at * 20_000;
        push(&mut batcher, asked(at, now_us, Some(now_us + 21_000), 20));
        next(&mut batcher, now_us, &model).1.contains(&0)
    });
    assert!(ran_at.is_some_and(|at| (45..=51).contains(&at)), "{ran_at:?}");
}

/// A run of one seed: what happened to each request.
struct Outcome {
    answered: Vec<u64>,
    refused: Vec<u64>,
    missed: usize,
}

/// A machine that keeps to its profile.
fn simulate(seed: u64) -> Outcome {
    let mut rng = fastrand::Rng::with_seed(seed);
    let delay_us = rng.u64(0..2000);
    let policy = if rng.bool() { Policy::Deadline } else { Policy::Window { delay_us } };
    let mut batcher = batcher(policy);
    let model = model(rng.f64() * 400.0, rng.f64() * 20.0);
    let gap_us = rng.u64(1..800);
    let (mut arrival_us, mut now_us) = (0, 0);
    let mut coming: Vec<Asked> = (0..30)
        .map(|id| {
            arrival_us += rng.u64(0..=2 * gap_us);
            let budget_us = rng.bool().then(|| rng.u64(0..4000));
            let deadline_us = budget_us.map(|budget_us| arrival_us + budget_us);
            asked(id, arrival_us, deadline_us, rng.usize(1..=40))
        })
        .rev()
        .collect();
    let mut outcome = Outcome { answered: Vec::new(), refused: Vec::new(), missed: 0 };
    let (mut picked, mut late) = (Vec::new(), Vec::new());
    loop {
        while let Some(asked) = coming.pop_if(|asked| asked.ticket.arrival_us <= now_us) {
            push(&mut batcher, asked);
        }
        let coming_us = coming.last().map(|asked| asked.ticket.arrival_us);
        let next = batcher.next(now_us, &model, &mut picked, &mut late);
        outcome.refused.extend(late.drain(..).map(|asked| asked.id));
        match next {
            Next::Run => now_us = run(&mut picked, now_us, &model, policy, &mut outcome),
            Next::WaitUntil(until_us) => {
                assert!(until_us > now_us, "it would spin");
                now_us = coming_us.map_or(until_us, |coming_us| coming_us.min(until_us));
            }
            Next::Idle if coming_us.is_none() => break,
            Next::Idle => now_us = coming_us.unwrap_or(now_us),
        }
    }
    outcome
}

/// Runs a batch; gives the time after it.
fn run(
    picked: &mut Vec<Asked>,
    now_us: u64,
    model: &PassLatency,
    policy: Policy,
    outcome: &mut Outcome,
) -> u64 {
    let tokens = picked.iter().map(|asked| asked.ticket.tokens).sum();
    assert!(!picked.is_empty() && picked.len() <= 4 && tokens <= 40);
    if policy != Policy::Deadline {
        assert!(picked.is_sorted_by_key(|asked| asked.id), "first come, first served");
    }
    let end_us = now_us + model.predict_us(tokens);
    let is_late = |asked: &&Asked| asked.ticket.deadline_us.is_some_and(|at_us| at_us < end_us);
    outcome.missed += picked.iter().filter(is_late).count();
    outcome.answered.extend(picked.drain(..).map(|asked| asked.id));
    end_us
}

#[test]
fn under_any_load_each_request_has_one_end_and_no_deadline_is_missed_in_silence() {
    let (mut answered, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let outcome = simulate(seed);
        let ends = outcome.answered.iter().chain(&outcome.refused);
        let distinct: HashSet<&u64> = ends.clone().collect();
        assert_eq!((ends.count(), distinct.len()), (30, 30), "seed {seed}");
        assert_eq!(outcome.missed, 0, "seed {seed}");
        answered += outcome.answered.len();
        refused += outcome.refused.len();
    }
    assert!(answered > SEEDS as usize && refused > SEEDS as usize, "{answered} {refused}");
}

/// Ten times more than the machine can do, all with the same budget.
#[test]
fn overload_costs_little_goodput() {
    let limits = Limits { rows_max: 32, tokens_max: 4096 };
    let mut batcher = Batcher::new(BatcherOptions { policy: Policy::Deadline, limits });
    let model = model(500.0, 30.0);
    let full_us = model.predict_us(32 * 8);
    let gap_us = full_us / 320;
    let (mut now_us, mut id, mut answered, mut ends) = (0, 0, 0, 0);
    let (mut picked, mut late) = (Vec::new(), Vec::new());
    let until_us = 400 * full_us;
    while now_us < until_us {
        while id * gap_us <= now_us {
            push(&mut batcher, asked(id, id * gap_us, Some(id * gap_us + 4 * full_us), 8));
            id += 1;
        }
        let next = batcher.next(now_us, &model, &mut picked, &mut late);
        ends += picked.len() + late.drain(..).count();
        answered += picked.len();
        now_us = match next {
            Next::Run => now_us + model.predict_us(8 * picked.len()),
            Next::WaitUntil(_) | Next::Idle => now_us + gap_us,
        };
        picked.clear();
    }
    let peak = 32.0 * 400.0;
    assert!(answered as f64 >= 0.9 * peak, "{answered} of {peak}");
    assert_eq!(ends + batcher.len(), id as usize);
}
