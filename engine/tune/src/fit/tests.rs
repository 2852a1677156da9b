//! Fitted thresholds: their properties, and how they hold on fresh rows.

use super::*;
use crate::search::tests::drawn;

#[test]
fn figures_are_those_of_a_replay_and_keep_the_goal() {
    for seed in 0..12 {
        let window = drawn(200 + 90 * seed as usize, 1 + seed as usize, seed);
        for confidence in [None, Some(0.9)] {
            let goal = Goal { agreement: 0.95, confidence };
            let fitted = fit(&window, &goal);
            let (mut wrong, mut depth) = (0, 0.0);
            for row in 0..window.rows() {
                let mut ramps = 0..window.ramps();
                let leaves = ramps.find(|&r| window.scores(r)[row] >= fitted.thresholds[r]);
                wrong += u64::from(leaves.is_some_and(|ramp| !window.agrees(ramp)[row]));
                depth += leaves.map_or(1.0, |ramp| window.depth(ramp));
            }
            let rows = window.rows() as f64;
            assert_eq!(fitted.disagreements, wrong);
            assert!((fitted.mean_depth - depth / rows).abs() < 1e-9);
            assert_eq!(fitted.exits.iter().sum::<u64>(), window.rows() as u64);
            let share = if confidence.is_some() { fitted.upper_bound } else { wrong as f64 / rows };
            assert!(share <= 0.05 + 1e-12, "seed {seed}, {confidence:?}: {share}");
            assert!(fitted.mean_depth < 0.95, "seed {seed}: nothing saved");
        }
    }
}

#[test]
fn beats_one_threshold_for_all_ramps() {
    for seed in 0..6 {
        let window = drawn(800, 6, seed);
        let goal = Goal { agreement: 0.97, confidence: None };
        let mut uniform = 1.0_f64;
        for step in 0..=1000 {
            let outcome = replay(&window, &[step as f32 / 1000.0; 6]);
            if outcome.agreement >= 0.97 {
                uniform = uniform.min(outcome.mean_depth);
            }
        }
        let fitted = fit(&window, &goal);
        assert!(fitted.mean_depth < uniform, "seed {seed}: {} {uniform}", fitted.mean_depth);
    }
}

#[test]
fn a_looser_goal_never_costs_depth() {
    for seed in 0..4 {
        let window = drawn(600, 7, seed);
        let mut before = 1.0;
        for percent in (60..=100).rev() {
            let goal = Goal { agreement: f64::from(percent) / 100.0, confidence: None };
            let depth = fit(&window, &goal).mean_depth;
            // Exact searches cannot lose; beyond the beam's width a little noise is allowed.
            let noise = if percent > 97 { 1e-9 } else { 4e-3 };
            assert!(depth <= before + noise, "seed {seed}, {percent} %: {depth} after {before}");
            before = depth.min(before);
        }
    }
}

#[test]
fn a_goal_that_cannot_be_kept_turns_every_ramp_off() {
    let window = drawn(298, 4, 1);
    for agreement in [0.99, 1.0, 1.5, f64::NAN] {
        let fitted = fit(&window, &Goal { agreement, confidence: Some(0.95) });
        assert_eq!(fitted.thresholds, [OFF; 4], "{agreement}");
        assert_eq!((fitted.mean_depth, fitted.upper_bound, fitted.disagreements), (1.0, 0.0, 0));
    }
    let enough = fit(&drawn(299, 4, 1), &Goal::default());
    assert!(enough.mean_depth < 1.0 && enough.disagreements == 0);
}

#[test]
fn no_rows_or_no_ramps_is_no_trouble() {
    let none = Window::new(vec![0.5], &[], &[], &[]).unwrap();
    assert_eq!(fit(&none, &Goal::default()).thresholds, [OFF]);
    assert_eq!(fit_tested(&none, &Goal::default(), 1).thresholds, [OFF]);
    let bare = Window::new(vec![], &[], &[], &[0; 500]).unwrap();
    assert_eq!(fit(&bare, &Goal::default()).mean_depth, 1.0);
}

#[test]
fn nan_scores_never_exit_and_do_not_block_others() {
    let scores: Vec<f32> = (0..400).map(|i| if i < 100 { f32::NAN } else { 0.9 }).collect();
    let labels: Vec<u32> = (0..400).map(|i| u32::from(i < 100)).collect();
    let window = Window::new(vec![0.5], &scores, &labels, &[0; 400]).unwrap();
    let fitted = fit(&window, &Goal::default());
    assert_eq!((fitted.exits, fitted.disagreements), (vec![300, 100], 0));
}

#[test]
fn a_ramp_with_too_few_exits_stays_off() {
    let fit_with = |sure: usize| {
        let scores: Vec<f32> = (0..1000).map(|i| if i < sure { 0.9 } else { 0.1 }).collect();
        let labels: Vec<u32> = (0..1000).map(|i| u32::from(i >= sure)).collect();
        let window = Window::new(vec![0.5], &scores, &labels, &[0; 1000]).unwrap();
        fit(&window, &Goal::default()).thresholds
    };
    assert_eq!(fit_with(28), [OFF]);
    assert_eq!(fit_with(29), [0.9]);
}

#[test]
fn everything_leaves_at_once_where_nothing_is_asked() {
    let fitted = fit(&drawn(100, 3, 5), &Goal { agreement: 0.0, confidence: None });
    assert_eq!(fitted.exits, [100, 0, 0, 0]);
}

/// Share of samples whose thresholds break a goal of 97 % on rows never seen, and mean depth there.
fn broken(rows: usize, samples: u64, fit: impl Fn(&Window) -> Fitted) -> (f64, f64) {
    let fresh = drawn(20_000, 6, 999);
    let outcome = |seed| replay(&fresh, &fit(&drawn(rows, 6, seed)).thresholds);
    let outcomes: Vec<Replay> = (0..samples).map(outcome).collect();
    let broken = outcomes.iter().filter(|outcome| outcome.agreement < 0.97).count() as f64;
    let depth = outcomes.iter().map(|outcome| outcome.mean_depth).sum::<f64>();
    (broken / samples as f64, depth / samples as f64)
}

#[test]
fn tested_thresholds_keep_the_promise_on_fresh_rows() {
    let goal = Goal { agreement: 0.97, confidence: Some(0.9) };
    let (share, depth) = broken(600, 60, |window| fit_tested(window, &goal, 1));
    assert!(share <= 0.15, "broken in {share}");
    assert!(depth < 0.95, "saves nothing: {depth}");
}

/// Run in release: `cargo test --release -p offramp -- --ignored --nocapture generalisation`.
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "the figures are the point")]
fn generalisation() {
    for rows in [300, 600, 1000, 3000] {
        for confidence in [None, Some(0.9), Some(0.95)] {
            let goal = Goal { agreement: 0.97, confidence };
            let plain = broken(rows, 200, |window| fit(window, &goal));
            let tested = broken(rows, 200, |window| fit_tested(window, &goal, 1));
            let edged = broken(rows, 200, |window| {
                let t = crate::propose(window, &Exact::ONLINE, &goal);
                judged(window, t.thresholds, &goal)
            });
            println!(
                "{rows} rows, {confidence:?}: (broken, depth) fit {plain:?}, tested {tested:?}, \
                 edges counted {edged:?}"
            );
        }
    }
}

/// Run in release: `cargo test --release -p offramp -- --ignored --nocapture speed`.
#[test]
#[ignore = "a timing"]
#[expect(clippy::print_stdout, reason = "the figures are the point")]
fn speed_of_fitting() {
    for (rows, ramps) in [(1000, 11), (5000, 11), (5000, 23), (50_000, 11)] {
        for confidence in [Some(0.95), None] {
            let window = drawn(rows, ramps, 3);
            let goal = Goal { agreement: 0.99, confidence };
            let start = std::time::Instant::now();
            let depth = fit(&window, &goal).mean_depth;
            let took = start.elapsed();
            let start = std::time::Instant::now();
            let tested = fit_tested(&window, &goal, 1).mean_depth;
            let took_tested = start.elapsed();
            println!(
                "{rows} x {ramps}, {confidence:?}: {took:?} depth {depth:.4}; \
                 tested {took_tested:?} {tested:.4}"
            );
        }
    }
}
