//! What holds for every pass, whatever the rows, thresholds and settings.

use offramp::{AfterExit, Exit, Exits, Packing, PassSettings, Score};
use proptest::prelude::*;

use crate::machine;
use crate::support::{Bench, Given, Shown, exactly_at, fill, model_with_ramps, random_rows};

const MODELS: [&str; 7] = [
    "bert-relu-many",
    "roberta-cls",
    "distilbert-cls",
    "resnet-cifar",
    "resnet-hf-bottleneck",
    "vgg",
    "deit-hf",
];

fn scores() -> impl Strategy<Value = Score> {
    prop_oneof![
        Just(Score::Confidence),
        Just(Score::Entropy),
        Just(Score::Margin),
        (1u32..3).prop_map(|k| Score::Patience { k }),
    ]
}

fn answers(heard: Vec<Option<Given>>) -> Vec<Given> {
    heard.into_iter().map(|given| given.unwrap()).collect()
}

fn observed(heard: Vec<Option<Shown>>) -> Vec<Shown> {
    heard.into_iter().map(|shown| shown.unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(machine::cases()))]

    #[test]
    fn release_and_compact_give_the_same_answers(
        name in prop::sample::select(&MODELS[..]),
        seed in 0u64..1000,
        count in 1usize..40,
        score in scores(),
        threshold in 0.0f32..1.0,
    ) {
        let model = model_with_ramps(name, seed);
        let mut bench = Bench::new(&model, 1);
        let rows = random_rows(count, &model, seed);
        let exits = bench.exits(score, threshold);
        let (released, _) = bench.run(&rows, &exits, AfterExit::Release);
        let released = answers(released.answers);
        for packing in [Packing::Auto, Packing::Always, Packing::Never] {
            let settings =
                PassSettings { packing, ..PassSettings::new(&exits, AfterExit::Compact) };
            let (compacted, _) = bench.run_with(&rows, &settings);
            prop_assert_eq!(&released, &answers(compacted.answers), "{:?}", packing);
        }
    }

    #[test]
    fn an_answer_does_not_depend_on_its_company(
        name in prop::sample::select(&MODELS[..]),
        seed in 0u64..1000,
        count in 2usize..40,
        threads in 1usize..3,
        threshold in 0.0f32..1.0,
    ) {
        let model = model_with_ramps(name, seed);
        let mut together = Bench::new(&model, threads);
        let mut alone = Bench::new(&model, 1);
        let rows = random_rows(count, &model, seed);
        let exits = together.exits(Score::Confidence, threshold);
        let (heard, _) = together.run(&rows, &exits, AfterExit::Compact);
        for (row, expected) in rows.iter().zip(answers(heard.answers)) {
            let row = std::slice::from_ref(row);
            let (heard, _) = alone.run(row, &exits, AfterExit::Compact);
            prop_assert_eq!(&answers(heard.answers)[0], &expected, "bit for bit");
        }
    }

    #[test]
    fn what_is_said_of_the_next_batch_changes_no_answer(
        name in prop::sample::select(&MODELS[..]),
        seed in 0u64..1000,
        counts in prop::collection::vec(1usize..20, 4),
        saying in prop::collection::vec(0usize..6, 8),
        threshold in 0.0f32..1.0,
    ) {
        let model = model_with_ramps(name, seed);
        let mut bench = Bench::new(&model, 1);
        let exits = bench.exits(Score::Confidence, threshold);
        let rows = |(at, &count): (usize, &usize)| random_rows(count, &model, seed + at as u64);
        let rows: Vec<_> = counts.iter().enumerate().map(rows).collect();
        let expected: Vec<_> =
            rows.iter().map(|rows| bench.run(rows, &exits, AfterExit::Compact).0.answers).collect();
        let mut batches: Vec<_> = rows.iter().map(|rows| bench.batch(rows)).collect();
        for (turn, &said) in saying.iter().enumerate() {
            // 4: nothing is said; 5: the truth.
            let at = turn % batches.len();
            let next = if said == 5 { (turn + 1) % batches.len() } else { said };
            let mut settings = PassSettings::new(&exits, AfterExit::Compact);
            settings.next = batches.get(next);
            let (heard, _) = bench.run_batch(&batches[at], &settings);
            prop_assert_eq!(&answers(heard.answers), &answers(expected[at].clone()));
            if said == 0 {
                // A batch that was said to come holds other rows when it comes.
                batches.swap(0, 1);
                for (batch, rows) in batches.iter_mut().zip(&rows).take(2) {
                    fill(batch, rows);
                }
            }
        }
    }

    #[test]
    fn nobody_leaves_at_an_inactive_ramp(
        seed in 0u64..1000,
        count in 1usize..40,
        active in prop::collection::vec(any::<bool>(), 2),
    ) {
        let model = model_with_ramps("bert-relu-many", seed);
        let mut bench = Bench::new(&model, 1);
        let rows = random_rows(count, &model, seed);
        let mut exits = bench.exits(Score::Confidence, 0.0);
        let ramps = bench.engine.plan().ramps();
        exits.active.iter_mut().zip(&active).for_each(|(ramp, &on)| *ramp = on);
        let sites: Vec<usize> = bench.engine.plan().ramp_sites().collect();
        let expected = (0..ramps).find(|&ramp| exits.active[ramp]);
        let expected = expected.map_or(Exit::Final, |ramp| Exit::Site(sites[ramp]));
        let (heard, _) = bench.run(&rows, &exits, AfterExit::Compact);
        for given in answers(heard.answers) {
            prop_assert_eq!(given.exit, expected, "threshold 0: the first ramp");
        }
    }

    #[test]
    fn feedback_is_complete_and_its_sample_runs_to_the_end(
        seed in 0u64..1000,
        count in 1usize..40,
        threshold in 0.0f32..1.0,
        audit_rate in prop::sample::select(&[0.0, 0.3, 1.0][..]),
        stays in prop::collection::vec(any::<bool>(), 40),
    ) {
        let model = model_with_ramps("bert-relu-many", seed);
        let mut bench = Bench::new(&model, 1);
        let rows = random_rows(count, &model, seed);
        let full = bench.run(&rows, &Exits::off(bench.engine.plan()), AfterExit::Release).0;
        let full: Vec<u32> = answers(full.answers).iter().map(|given| given.label).collect();
        let exits = bench.exits(Score::Confidence, threshold);
        let mut settings = PassSettings::new(&exits, AfterExit::Compact);
        settings.audit_rate = audit_rate;
        settings.stays = &stays[..count];
        let (heard, _) = bench.run_with(&rows, &settings);
        let ramps = bench.engine.plan().ramps() as u32;
        let given = answers(heard.answers);
        for (slot, shown) in observed(heard.observed).into_iter().enumerate() {
            let left_early = shown.exit < ramps;
            prop_assert_eq!(left_early, given[slot].exit != Exit::Final);
            let ran_on = shown.is_sample || stays[slot] || !left_early;
            prop_assert_eq!(shown.final_label, ran_on.then_some(full[slot]));
            prop_assert!(shown.is_sample || audit_rate < 1.0);
            prop_assert!(!shown.is_sample || audit_rate > 0.0);
            let passed = shown.seen.len() as u32;
            let least = if ran_on { ramps } else { shown.exit + 1 };
            prop_assert!(passed >= least, "{} ramps seen, at least {}", passed, least);
        }
    }
}

#[test]
fn windows_decide_where_rows_leave() {
    let model = model_with_ramps("bert-relu-many", 3);
    let mut bench = Bench::new(&model, 2);
    let rows = random_rows(30, &model, 3);
    let ramps = bench.engine.plan().ramps() as u32;
    let sites: Vec<usize> = bench.engine.plan().ramp_sites().collect();
    let exits = Exits::watching(bench.engine.plan(), Score::Confidence);
    let windows: Vec<_> = (0..30).map(|slot| exactly_at(slot % (ramps + 1))).collect();
    let mut settings = PassSettings::new(&exits, AfterExit::Compact);
    settings.windows = &windows;
    let (heard, report) = bench.run_with(&rows, &settings);
    for (slot, given) in answers(heard.answers).iter().enumerate() {
        let exit = slot as u32 % (ramps + 1);
        let expected = if exit == ramps { Exit::Final } else { Exit::Site(sites[exit as usize]) };
        assert_eq!(given.exit, expected);
    }
    assert!(report.compactions > 0);
    let all = report.tokens * bench.engine.plan().segments.len();
    assert!(report.token_segments < all, "{} of {all}", report.token_segments);
}

#[test]
fn an_empty_batch_is_a_pass_of_nothing() {
    let model = model_with_ramps("bert-relu-many", 1);
    let mut bench = Bench::new(&model, 1);
    let exits = bench.exits(Score::Confidence, 0.5);
    let (heard, report) = bench.run(&[], &exits, AfterExit::Compact);
    assert!(heard.answers.is_empty());
    assert_eq!((report.rows, report.segments), (0, 0));
}

#[test]
fn the_audit_share_is_what_was_asked_for() {
    let model = model_with_ramps("bert-relu-many", 5);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(40, &model, 5);
    let exits = bench.exits(Score::Confidence, 0.0);
    let mut settings = PassSettings::new(&exits, AfterExit::Compact);
    settings.audit_rate = 0.25;
    let (mut drawn, passes) = (0, 50);
    for _ in 0..passes {
        let (heard, _) = bench.run_with(&rows, &settings);
        drawn += observed(heard.observed).iter().filter(|shown| shown.is_sample).count();
    }
    let share = drawn as f64 / (passes * 40) as f64;
    assert!((0.21..0.29).contains(&share), "five standard deviations around 0.25: {share}");
}

#[test]
fn where_nobody_can_leave_all_rows_are_the_sample() {
    let model = model_with_ramps("bert-relu-many", 5);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(40, &model, 5);
    let exits = Exits::watching(bench.engine.plan(), Score::Confidence);
    let mut settings = PassSettings::new(&exits, AfterExit::Compact);
    let is_sample = |bench: &mut Bench, settings: &PassSettings<'_>| {
        observed(bench.run_with(&rows, settings).0.observed).iter().all(|shown| shown.is_sample)
    };
    assert!(is_sample(&mut bench, &settings));
    let windows: Vec<_> = (0..40).map(|_| exactly_at(0)).collect();
    settings.windows = &windows;
    assert!(!is_sample(&mut bench, &settings), "windows let rows leave");
}

/// Forced, rows are packed behind every ramp that runs, though nobody leaves there; or never,
/// though many do.
#[test]
fn packing_can_be_forced() {
    let model = model_with_ramps("bert-relu-many", 2);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(30, &model, 2);
    let ramps = bench.engine.plan().ramps();
    let windows: Vec<_> = (0..30).map(|slot| exactly_at(slot % (ramps as u32 + 1))).collect();
    let watching = Exits::watching(bench.engine.plan(), Score::Confidence);
    let everywhere =
        PassSettings { windows: &windows, ..PassSettings::new(&watching, AfterExit::Compact) };
    let nowhere = PassSettings::new(&watching, AfterExit::Compact);
    for (settings, packing, expected) in [
        (nowhere, Packing::Always, ramps),
        (everywhere, Packing::Always, ramps),
        (everywhere, Packing::Never, 0),
        (PassSettings { after_exit: AfterExit::Release, ..everywhere }, Packing::Always, 0),
    ] {
        let (_, report) = bench.run_with(&rows, &PassSettings { packing, ..settings });
        assert_eq!(report.compactions, expected, "{packing:?}");
    }
}
