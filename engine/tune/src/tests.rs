//! Rehearsals: the same record gives the same decisions, the promise holds where the workload
//! changes, and what cannot be proved lets nobody out.

use offramp::{AfterExit, Decision, Seen};

use super::search::{Exact, Greedy, Search, Tethered};
use super::*;
use crate::feedback::Feedback;

const RAMPS: usize = 3;

/// Rows at three ramps; from `change` on, ramps are surer than they should be.
fn drifting(rows: usize, change: usize, seed: u64) -> Vec<Feedback> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let row = |at: usize| {
        let difficulty = 5.0 * rng.f64();
        let seen = |ramp: usize| {
            let logit = 2.0 * ramp as f64 + 3.0 - difficulty;
            let right = 1.0 / (1.0 + (-2.0 * logit).exp());
            let shown = if at < change { right } else { 0.5 * right + 0.5 };
            let label = u32::from(rng.f64() > right);
            Seen { ramp: ramp as u32, label, score: shown as f32 }
        };
        let seen = (0..RAMPS).map(seen).collect();
        let (exit, final_label) = (RAMPS as u32, Some(0));
        Feedback { seen, exit, final_label, is_sample: true, version: 0, pass_rows: 16 }
    };
    (0..rows).map(row).collect()
}

fn controller(search: Box<dyn Search>, goal: Goal, manager: bool) -> Controller {
    let latency = Latency::even(&[0, 1, 2]);
    let manager = manager.then(|| Manager::new(ManagerOptions::default(), &latency, None));
    let options = TunerOptions { goal, ..Default::default() };
    let tuner = Tuner::new(options, search, &latency, vec![true; RAMPS], vec![OFF; RAMPS]);
    Controller::new(tuner, manager, latency)
}

fn run(rows: &[Feedback], search: Box<dyn Search>, goal: Goal, after_exit: AfterExit) -> Rehearsal {
    let conditions = Conditions { after_exit, audit_rate: 0.2, seed: 4 };
    let latency = Latency::even(&[0, 1, 2]);
    rehearse(rows, &latency, &mut controller(search, goal, true), &conditions)
}

fn wrong(fates: &[Fate]) -> f64 {
    fates.iter().filter(|fate| !fate.agrees).count() as f64 / fates.len() as f64
}

#[test]
fn one_record_and_seed_give_the_same_decisions() {
    let rows = drifting(6000, 3000, 1);
    for after_exit in [AfterExit::Release, AfterExit::Compact] {
        let again = || run(&rows, Box::new(Tethered::default()), Goal::default(), after_exit);
        let first = again();
        assert_eq!(first, again());
        assert!(first.changes.len() > 2, "{after_exit:?}: {} changes", first.changes.len());
    }
}

#[test]
fn rows_leave_and_the_promise_holds_before_and_after_a_change() {
    for seed in 0..3 {
        let rows = drifting(16_000, 8000, seed);
        for after_exit in [AfterExit::Release, AfterExit::Compact] {
            let found = run(&rows, Box::new(Tethered::default()), Goal::default(), after_exit);
            let left = found.fates.iter().filter(|fate| fate.exit < RAMPS).count();
            assert!(left > 4000, "seed {seed}, {after_exit:?}: only {left} left");
            let shares = found.fates.chunks(8000).map(wrong).collect::<Vec<_>>();
            assert!(
                shares.iter().all(|&share| share <= 0.01),
                "{seed}, {after_exit:?}: {shares:?}"
            );
        }
    }
}

#[test]
fn fitted_thresholds_stay_and_answer_as_counted_by_hand() {
    let rows = drifting(3000, 1000, 5);
    let latency = Latency::even(&[0, 1, 2]);
    for thresholds in [[0.9, 0.95, 0.7], [OFF, 0.8, OFF], [OFF; RAMPS]] {
        let rehearsed =
            |after| rehearse_fixed(&rows, &latency, &thresholds, Decision::Class, after);
        let (release, compact) = (rehearsed(AfterExit::Release), rehearsed(AfterExit::Compact));
        assert!(release.changes.is_empty() && compact.changes.is_empty());
        for ((row, fate), left) in rows.iter().zip(&release.fates).zip(&compact.fates) {
            let exit = (0..RAMPS).find(|&ramp| row.seen[ramp].score >= thresholds[ramp]);
            assert_eq!(fate.exit, exit.unwrap_or(RAMPS));
            assert_eq!(fate.agrees, exit.is_none_or(|ramp| row.seen[ramp].label == 0));
            assert_eq!((left.exit, left.agrees), (fate.exit, fate.agrees));
            assert_eq!((left.work_us, left.is_audited), (left.latency_us, false));
            assert!(fate.work_us >= fate.latency_us && fate.latency_us == left.latency_us);
        }
    }
}

#[test]
fn the_point_estimate_breaks_what_the_bound_keeps() {
    let rows = drifting(12_000, usize::MAX, 7);
    let share = |confidence| {
        let goal = Goal { confidence, ..Default::default() };
        wrong(&run(&rows, Box::new(Greedy::default()), goal, AfterExit::Release).fates)
    };
    let (bound, point) = (share(Some(0.95)), share(None));
    assert!(bound <= 0.01 && point > bound, "{bound} {point}");
}

/// A row that left at the first ramp with this label; the full model says 0.
fn left_with(label: u32, is_sample: bool) -> Feedback {
    Feedback {
        seen: vec![Seen { ramp: 0, label, score: 0.999 }],
        exit: 0,
        final_label: is_sample.then_some(0),
        is_sample,
        version: 1,
        pass_rows: 1,
    }
}

#[test]
fn what_is_known_of_thresholds_grows_with_the_window() {
    let mut tuned = controller(Box::new(Exact::ONLINE), Goal::default(), false);
    let nobody_leaves = Evidence { rows: 0, disagreement_at_most: 0.0 };
    assert_eq!(tuned.evidence(), nobody_leaves);
    assert!(tuned.step(drifting(2048, usize::MAX, 2)).is_some());
    let chosen = tuned.evidence();
    assert!(chosen.rows == 2048 && chosen.disagreement_at_most > 0.0);
    assert!(chosen.disagreement_at_most <= 0.01, "{chosen:?}");

    let latency = Latency::even(&[0, 1, 2]);
    let (active, thresholds) = (vec![true; RAMPS], vec![0.999; RAMPS]);
    let options = TunerOptions { step_rows: 16, gain_min: 1.0, ..Default::default() };
    let mut fixed = Tuner::new(options, Box::new(Exact::ONLINE), &latency, active, thresholds);
    assert_eq!(fixed.evidence(), Evidence { rows: 0, disagreement_at_most: 1.0 });
    let mut before = 1.0;
    for rows in [16, 64, 256] {
        assert_eq!(fixed.step(drifting(rows, usize::MAX, 3)), None);
        let known = fixed.evidence();
        assert!(known.disagreement_at_most < before, "{rows}: {known:?} after {before}");
        before = known.disagreement_at_most;
    }
    assert_eq!(fixed.evidence().rows, 16 + 64 + 256);
}

#[test]
fn an_alarm_comes_before_the_next_search() {
    let calm = drifting(4096, usize::MAX, 2);
    let mut tuned = controller(Box::new(Exact::ONLINE), Goal::default(), false);
    assert!(tuned.step(calm).is_some());
    assert_eq!((0..400).find_map(|_| tuned.step([left_with(1, false)])), None, "not of the sample");
    let mut changes = (0..40).filter_map(|_| tuned.step([left_with(1, true)]));
    assert_eq!(changes.next().map(|change| change.reason), Some(Reason::Alarm));
}

#[test]
fn what_was_proved_before_holds_until_rows_enough_speak_against_it() {
    let begin = || {
        let latency = Latency::even(&[0, 1, 2]);
        let thresholds = vec![0.99, OFF, OFF];
        let search = Box::new(Exact::ONLINE);
        Tuner::new(TunerOptions::default(), search, &latency, vec![true; RAMPS], thresholds)
    };
    let row = |is_right: bool| {
        let seen = |ramp| Seen { ramp, label: u32::from(!is_right), score: 0.995 };
        Feedback { seen: (0..3).map(seen).collect(), ..left_with(0, true) }
    };
    let changes = |rows: Vec<Feedback>| {
        let mut tuner = begin();
        rows.into_iter().find_map(|row| tuner.step([row])).map(|change| change.reason)
    };
    assert_eq!(changes((0..256).map(|_| row(true)).collect()), None, "nothing speaks against it");
    // Every fiftieth answer wrong: twice what is promised.
    let wrong = changes((0..2000).map(|nth| row(nth % 50 != 0)).collect());
    assert!(matches!(wrong, Some(Reason::Bound | Reason::Alarm)), "{wrong:?}");
}
