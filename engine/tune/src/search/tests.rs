//! Searches against brute force and against one another.

use super::super::replay::{oracle, replay};
use super::super::window::OFF;
use super::*;

/// Rows of varying difficulty at ramps that get better with depth; a score tells how likely the
/// label is right, coarse enough that some scores are equal.
pub(crate) fn drawn(rows: usize, ramps: usize, seed: u64) -> Window {
    let mut rng = fastrand::Rng::with_seed(seed);
    let depths: Vec<f64> = (0..ramps).map(|i| (i + 1) as f64 / (ramps + 1) as f64).collect();
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let difficulty = 6.0 * rng.f64();
        for depth in &depths {
            let logit = 7.0 * depth + 3.0 - difficulty + 2.0 * (rng.f64() - 0.5);
            let sure = 1.0 / (1.0 + (-2.0 * logit).exp());
            scores.push((sure * 5000.0).round() as f32 / 5000.0);
            labels.push(u32::from(rng.f64() > sure));
        }
    }
    Window::new(depths, &scores, &labels, &vec![0; rows]).unwrap()
}

/// The most any thresholds save within `budget` errors and the rule about single ramps.
fn brute_force(window: &Window, budget: u64, exits_min: &[usize]) -> f64 {
    let candidates = |ramp: usize| -> Vec<f32> {
        let mut scores: Vec<f32> = (0..window.rows()).map(|row| window.scores(ramp)[row]).collect();
        scores.sort_by(f32::total_cmp);
        scores.dedup();
        scores.push(OFF);
        scores
    };
    let candidates: Vec<Vec<f32>> = (0..window.ramps()).map(candidates).collect();
    let mut best = 0.0_f64;
    for code in 0..candidates.iter().map(Vec::len).product::<usize>() {
        let mut rest = code;
        let mut digit = |of: &Vec<f32>| {
            let chosen = of[rest % of.len()];
            rest /= of.len();
            chosen
        };
        let thresholds: Vec<f32> = candidates.iter().map(&mut digit).collect();
        let outcome = replay(window, &thresholds);
        if outcome.disagreements <= budget && believed(window, &thresholds, exits_min) {
            best = best.max(1.0 - outcome.mean_depth);
        }
    }
    best
}

/// Whether every ramp that fires has exits enough for its errors.
fn believed(window: &Window, thresholds: &[f32], exits_min: &[usize]) -> bool {
    let mut used = vec![(0, 0); thresholds.len()];
    for row in 0..window.rows() {
        let mut ramps = 0..thresholds.len();
        if let Some(ramp) = ramps.find(|&r| window.scores(r)[row] >= thresholds[r]) {
            used[ramp].0 += 1;
            used[ramp].1 += usize::from(!window.agrees(ramp)[row]);
        }
    }
    used.iter().all(|&(exits, errors)| exits == 0 || exits >= exits_min[errors])
}

#[test]
fn close_to_brute_force() {
    for (ramps, rows, free) in [(3, 30, true), (2, 90, true), (4, 12, true), (3, 30, false)] {
        let (mut found, mut optimum) = (0.0, 0.0);
        for seed in 0..12 {
            let window = drawn(rows, ramps, seed);
            let budget = seed % 4;
            let needed = |e: usize| if free { 1 } else { 3 + 4 * e };
            let exits_min: Vec<usize> = (0..=budget as usize).map(needed).collect();
            let limits = Budget { errors: budget, exits_min: exits_min.clone() };
            let best = Solver::new(&window, &limits, Exact::OFFLINE).best(limits.errors);
            assert!(best.errors <= budget);
            assert_eq!(replay(&window, &best.thresholds).disagreements, best.errors);
            assert!(believed(&window, &best.thresholds, &exits_min));
            let saved = best.saved / rows as f64;
            let most = brute_force(&window, budget, &exits_min);
            assert!(saved <= most + 1e-9, "{saved} beats the optimum {most}: miscounted");
            found += saved;
            optimum += most;
        }
        assert!(found >= if free { 0.9999 } else { 0.95 } * optimum, "{found} of {optimum}");
    }
}

#[test]
fn what_is_called_exact_is_the_optimum() {
    for seed in 0..10 {
        let window = drawn(40, 3, seed);
        let budget = Budget::of(seed % 4);
        let best = Solver::new(&window, &budget, Exact::ONLINE).best(budget.errors);
        assert!(best.is_exact, "seed {seed}: forty rows do not fit");
        let most = brute_force(&window, seed % 4, &[1; 4]) * 40.0;
        assert!((best.saved - most).abs() < 1e-6, "seed {seed}: {} of {most}", best.saved);
        let really = (1.0 - replay(&window, &best.thresholds).mean_depth) * 40.0;
        assert!((best.saved - really).abs() < 1e-6, "seed {seed}: {} is {really}", best.saved);
    }
}

/// All searches, and the share of rows' cost that each saves on a window.
fn savings(window: &Window, budget: &Budget) -> Vec<(&'static str, f64)> {
    let searches: [&dyn Search; 4] = [
        &Exact::ONLINE,
        &Greedy::default(),
        &Grid { combinations_max: 50_000 },
        &Uniform::default(),
    ];
    let saved = |search: &dyn Search| {
        let outcome = replay(window, &search.search(window, budget));
        let errors = outcome.disagreements;
        assert!(errors <= budget.errors, "{} makes {errors}", search.name());
        (search.name(), 1.0 - outcome.mean_depth)
    };
    searches.map(saved).to_vec()
}

#[test]
fn no_other_search_beats_ours_nor_the_oracle() {
    for seed in 0..8 {
        let window = drawn(300, 2 + seed as usize % 4, seed);
        let savings = savings(&window, &Budget::of(6));
        let (_, ours) = savings[0];
        for &(name, saved) in &savings {
            assert!(saved <= ours + 1e-9, "seed {seed}: {name} saves {saved}, ours {ours}");
            assert!(saved > 0.0, "seed {seed}: {name} saves nothing");
        }
        assert!(ours <= 1.0 - oracle(&window).mean_depth + 1e-9, "seed {seed}");
    }
}

#[test]
fn a_bigger_budget_never_saves_less() {
    for seed in 0..4 {
        let window = drawn(200, 5, seed);
        let mut before = 0.0;
        for errors in 0..8 {
            let budget = Budget::of(errors);
            let saved = Solver::new(&window, &budget, Exact::ONLINE).best(budget.errors).saved;
            assert!(saved >= before - 1e-9, "seed {seed}, {errors}: {saved} after {before}");
            before = saved;
        }
    }
}

/// Run in release: `cargo test --release -p offramp -- --ignored --nocapture side_by_side`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "the figures are the point")]
fn searches_side_by_side() {
    for (rows, ramps, share) in
        [(512, 12, 0.002), (512, 12, 0.01), (512, 8, 0.01), (2048, 12, 0.01)]
    {
        let windows: Vec<Window> = (0..20).map(|seed| drawn(rows, ramps, seed)).collect();
        let budget = Budget::of((share * rows as f64) as u64);
        let searches: [&dyn Search; 4] =
            [&Exact::ONLINE, &Exact::OFFLINE, &Greedy::default(), &Grid::default()];
        for search in searches {
            let mut times = Vec::new();
            let mut saved = 0.0;
            for window in &windows {
                let start = std::time::Instant::now();
                let thresholds = search.search(window, &budget);
                times.push(start.elapsed().as_secs_f64() * 1e6);
                saved += 1.0 - replay(window, &thresholds).mean_depth;
            }
            let start = std::time::Instant::now();
            windows
                .iter()
                .for_each(|window| drop(std::hint::black_box(replay(window, &[0.9; 12]))));
            let replay_us = start.elapsed().as_secs_f64() * 1e6 / 20.0;
            times.sort_by(f64::total_cmp);
            let median_us = times[times.len() / 2];
            let saved = saved / windows.len() as f64;
            let exact = windows.iter().filter(|window| {
                Solver::new(window, &budget, Exact::ONLINE).best(budget.errors).is_exact
            });
            println!(
                "{rows} x {ramps}, {} errors, {:8}: saves {saved:.4} in {median_us:.0} us; \
                 a replay takes {replay_us:.2} us; {} of 20 exact",
                budget.errors,
                search.name(),
                exact.count()
            );
        }
    }
}
