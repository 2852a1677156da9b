//! Forwards watched from the driver's side: which calls they make, and what kernels cost.
//!
//! A binary of its own, and one test at a time: the driver counts for the whole process.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(dead_code, reason = "the helpers serve other tests too")]

mod bits;
mod bounds;
mod budgets;
mod case;
mod machine;
mod orders;
mod repeat;
mod sanitized;
mod slow;
#[path = "../it/support.rs"]
mod support;
mod tiles;
mod ways;

use std::sync::{Mutex, MutexGuard, PoisonError};

use offramp::{AfterExit, Score};
use offramp_kernels::Norm;
use offramp_kernels::cuda::{Elem, gpus};
use offramp_libcuda::Simulator;
use offramp_tests::suite::{Make, Start, Suite, Tolerance};

use repeat::{Repeated, repeat};
use support::{Bench, exactly_at, model_with_ramps, random_rows};

/// The card of this process; none: that of `OFFRAMP_SIM_CARD`.
const CARD: Option<&std::ffi::CStr> = None;
/// How the device stores numbers.
const PRECISION: offramp::Precision = offramp::Precision::F16;

/// Holds the others off; `None` on a real GPU, whose driver does not count.
fn alone() -> Option<(MutexGuard<'static, ()>, &'static Simulator)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let driver = machine::driver()?;
    Some((ALONE.lock().unwrap_or_else(PoisonError::into_inner), driver))
}

/// Between the first launch and the last of a forward with exits and packing, nothing waits: the
/// only call that does is the one that ends the pass.
#[test]
fn a_forward_waits_only_at_its_end() {
    let Some((_alone, driver)) = alone() else { return };
    let model = model_with_ramps("bert-relu-many", 3);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(12, &model, 3);
    let ramps = bench.engine.plan().ramps() as u32;
    let exits = offramp::Exits::watching(bench.engine.plan(), Score::Confidence);
    let windows: Vec<_> = (0..12).map(|slot| exactly_at(slot % (ramps + 1))).collect();
    let mut settings = offramp::PassSettings::new(&exits, AfterExit::Compact);
    settings.windows = &windows;
    for round in 0..7 {
        let before = driver.counts();
        let (heard, report) = bench.run_with(&rows, &settings);
        let after = driver.counts();
        assert!(heard.answers.iter().all(Option::is_some));
        assert!(report.compactions > 0, "rows leave on the way");
        let launched = after.launches + after.graph_launches;
        assert!(launched > before.launches + before.graph_launches);
        assert_eq!(after.allocations, before.allocations, "allocations, round {round}");
        assert_eq!(after.syncs - before.syncs, 1, "round {round}: finish");
        assert_eq!(after.async_copies - before.async_copies, 1, "rows go over in one copy");
    }
}

/// A pass that is left at a site for another, and joined there by a third, waits for nothing: no
/// call of any of them does, and nothing is copied but rows that come.
#[test]
fn groups_part_and_meet_without_waiting() {
    let Some((_alone, driver)) = alone() else { return };
    for name in ["bert-relu-many", "resnet-cifar", "deit-hf"] {
        let mut yard = Yard::new(name);
        for round in 0..6 {
            let before = driver.counts();
            yard.part_and_meet();
            let after = driver.counts();
            assert_eq!(after.syncs, before.syncs, "{name}, round {round}");
            assert_eq!(after.allocations, before.allocations, "{name}, round {round}");
            // Of rows that join others, states and the rest lie apart; images go by themselves.
            let images = if yard.reads_images { 3 } else { 0 };
            let copies = after.async_copies - before.async_copies;
            assert_eq!(copies, 1 + 2 + 2 + images, "{name}, round {round}");
        }
        let rows = yard.batches.iter().map(offramp::Batch::rows).sum::<usize>();
        assert_eq!(yard.answers, 6 * rows, "{name}");
    }
}

/// Three batches for one engine.
struct Yard {
    engine: offramp::Engine,
    exits: offramp::Exits,
    batches: [offramp::Batch; 3],
    reads_images: bool,
    answers: usize,
}

impl Yard {
    fn new(name: &str) -> Self {
        let model = model_with_ramps(name, 3);
        let options = offramp::EngineOptions { groups_max: 3, ..machine::options() };
        let engine = offramp::Engine::new(&model, &options).unwrap();
        let exits = offramp::Exits::uniform(engine.plan(), Score::Confidence, 0.6).unwrap();
        let batches = [3, 4, 5].map(|seed| {
            let mut batch = engine.batch();
            support::fill(&mut batch, &random_rows(4 + seed as usize, &model, seed));
            batch
        });
        let reads_images = matches!(engine.rules(), offramp::RowRules::Image(_));
        Self { engine, exits, batches, reads_images, answers: 0 }
    }

    /// All run one segment; the last runs to its end before the two others, which go on as one.
    fn part_and_meet(&mut self) {
        let [mut first, second, mut urgent] = [0, 1, 2].map(|index| self.park(index));
        self.gather(&mut urgent, &mut Vec::new());
        self.gather(&mut first, &mut vec![second]);
        for group in [urgent, first] {
            self.engine.finish(group, &mut |_: offramp::Answer<'_>| self.answers += 1).unwrap();
        }
    }

    /// One batch waits at the first site, where its first row leaves.
    fn park(&mut self, index: usize) -> offramp::Group {
        let mut windows = vec![offramp::ExitWindow::ANY; self.batches[index].rows()];
        windows[0] = exactly_at(0);
        let mut settings = offramp::PassSettings::new(&self.exits, AfterExit::Compact);
        settings.windows = &windows;
        let before = self.answers;
        let mut sink = |_: offramp::Answer<'_>| self.answers += 1;
        let mut group = self.engine.admit(&self.batches[index], &settings).unwrap().unwrap();
        assert!(self.engine.step(&mut group, None, &mut sink).unwrap());
        self.engine.park(&mut group).unwrap();
        if self.reads_images {
            self.hear(before);
        }
        group
    }

    /// Looks for answers until there are more than `before`. Images have two blocks: where nothing
    /// was heard of either, those of a third group would wait.
    fn hear(&mut self, before: usize) {
        while self.answers == before {
            self.engine.drain(&mut |_: offramp::Answer<'_>| self.answers += 1).unwrap();
        }
    }

    /// Groups run to their end as one.
    fn gather(&mut self, group: &mut offramp::Group, others: &mut Vec<offramp::Group>) {
        let mut sink = |_: offramp::Answer<'_>| self.answers += 1;
        self.engine.gather(group, others).unwrap();
        while self.engine.step(group, None, &mut sink).unwrap() {}
    }
}

/// The images of a batch that is known to come go over while the pass before runs: every image
/// once, without another wait or allocation.
#[test]
fn the_next_images_go_over_while_a_pass_runs() {
    let Some((_alone, driver)) = alone() else { return };
    let model = model_with_ramps("resnet-hf-bottleneck", 3);
    let mut bench = Bench::new(&model, 1);
    let exits = bench.exits(Score::Confidence, 0.5);
    let batches: Vec<_> = (0..2).map(|seed| bench.batch(&random_rows(8, &model, seed))).collect();
    let (first, mut early) = (driver.counts(), 0);
    for round in 0..8 {
        let mut settings = offramp::PassSettings::new(&exits, AfterExit::Release);
        settings.next = Some(&batches[(round + 1) % 2]);
        let before = driver.counts();
        let mut is_early = false;
        let mut sink = |_: offramp::Answer<'_>| {
            let now = driver.counts();
            // Rows, and the images of this pass where they did not go over before.
            let own = if round == 0 { 2 } else { 1 };
            let is_over = now.syncs > before.syncs;
            is_early |= !is_over && now.async_copies - before.async_copies > own;
        };
        bench.engine.run(&batches[round % 2], &settings, &mut sink).unwrap();
        let after = driver.counts();
        assert_eq!(after.allocations, before.allocations, "allocations, round {round}");
        assert_eq!(after.syncs - before.syncs, 1, "round {round}: finish");
        early += u64::from(is_early);
    }
    let copies = driver.counts().async_copies - first.async_copies;
    assert!((16..=17).contains(&copies), "{copies}: rows, images, and those of a pass to come");
    assert!(early > 0, "no images went over before their pass");
}

/// A sequence that comes again and again is a graph: then nothing is launched one by one, and the
/// bits are those of single launches.
#[test]
fn passes_of_one_shape_become_graphs() {
    let Some((_alone, driver)) = alone() else { return };
    for name in ["bert-relu-many", "resnet-cifar"] {
        let model = model_with_ramps(name, 4);
        let mut bench = Bench::new(&model, 1);
        let rows = random_rows(5, &model, 4);
        let exits = offramp::Exits::watching(bench.engine.plan(), Score::Confidence);
        let mut counts = Vec::new();
        let repeated = Repeated { name, rows: &rows, exits: &exits };
        repeat(&mut bench, &repeated, |_| counts.push(driver.counts()));
        let [.., before, after] = counts.as_slice() else { unreachable!() };
        assert!(counts[1].launches > counts[0].launches, "{name}: one by one at first");
        assert_eq!(after.launches, before.launches, "{name}");
        assert!(after.graph_launches > before.graph_launches, "{name}");
    }
}

/// Graphs take memory of the device. Where none is left passes go on as launches.
#[test]
fn passes_without_memory_for_graphs_stay_launches() {
    let Some((_alone, driver)) = alone() else { return };
    let model = model_with_ramps("bert-relu-many", 4);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(5, &model, 4);
    let exits = offramp::Exits::watching(bench.engine.plan(), Score::Confidence);
    let repeated = Repeated { name: "full", rows: &rows, exits: &exits };
    driver.limit_graphs(0);
    let before = driver.counts();
    repeat(&mut bench, &repeated, |_| {});
    driver.limit_graphs(u64::MAX);
    let after = driver.counts();
    assert_eq!(after.graph_launches, before.graph_launches);
    assert!(after.launches > before.launches);
}

/// Passes are timed by the device only when that was asked for.
#[test]
fn a_pass_is_timed_on_the_device_where_asked() {
    let Some((_alone, _)) = alone() else { return };
    let model = model_with_ramps("bert-relu-many", 4);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(5, &model, 4);
    let exits = offramp::Exits::off(bench.engine.plan());
    let (_, report) = bench.run(&rows, &exits, AfterExit::Release);
    assert_eq!(report.device_elapsed, None);
    bench.engine.time_passes(true).unwrap();
    for _ in 0..6 {
        let (_, report) = bench.run(&rows, &exits, AfterExit::Release);
        let device = report.device_elapsed.unwrap();
        assert!(!device.is_zero() && device <= report.elapsed, "{report:?}");
    }
    bench.engine.time_passes(false).unwrap();
    let (_, report) = bench.run(&rows, &exits, AfterExit::Release);
    assert_eq!(report.device_elapsed, None);
}

/// On an H100 every launch may begin early, but for the first of a sequence.
#[test]
fn kernels_overlap_on_a_hopper() {
    let Some((_alone, driver)) = alone() else { return };
    let model = model_with_ramps("bert-relu-many", 5);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(7, &model, 5);
    let exits = offramp::Exits::watching(bench.engine.plan(), Score::Confidence);
    driver.reset();
    bench.run(&rows, &exits, AfterExit::Release);
    let first = driver.counts();
    for _ in 0..16 {
        bench.run(&rows, &exits, AfterExit::Release);
    }
    driver.reset();
    bench.run(&rows, &exits, AfterExit::Release);
    let sequences = driver.counts().graph_launches;
    let is_hopper = gpus().unwrap()[0].compute == (9, 0);
    let early = if is_hopper { first.launches - sequences } else { 0 };
    assert_eq!(first.early_launches, early, "of {} in {sequences} sequences", first.launches);
}

/// Products take the norms of an encoder's layers over: a layer is four products and attention,
/// where it was two kernels more.
#[test]
fn a_layer_is_five_kernels() {
    let Some((_alone, driver)) = alone() else { return };
    let model = model_with_ramps("bert-relu-many", 4);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(5, &model, 4);
    let layers = bench.engine.plan().segments.len() as u64;
    let exits = offramp::Exits::off(bench.engine.plan());
    driver.reset();
    bench.run(&rows, &exits, AfterExit::Release);
    // Embedding, the head's dense layer, its exit; and one token a row is kept for it.
    assert_eq!(kernels_run(driver), 5 * layers + 4);
}

/// Kernels that have run since the last reset.
fn kernels_run(driver: &Simulator) -> u64 {
    let launches: serde_json::Value = serde_json::from_str(&driver.launches()).unwrap();
    launches.as_array().unwrap().iter().map(|kernel| kernel["launches"].as_u64().unwrap()).sum()
}

/// Rows that leave at the first ramp have their answers while later layers still run.
#[test]
fn answers_leave_before_the_pass_ends() {
    let Some((_alone, driver)) = alone() else { return };
    let model = model_with_ramps("bert-relu-many", 6);
    let mut bench = Bench::new(&model, 1);
    let rows = random_rows(40, &model, 6);
    let exits = bench.exits(Score::Confidence, 0.0);
    let settings = offramp::PassSettings::new(&exits, AfterExit::Release);
    let mut batch = bench.engine.batch();
    for row in &rows {
        batch.push_row(row).unwrap().unwrap();
    }
    // The host may be kept from looking in time: once in some passes is enough.
    let is_early = (0..10).any(|_| {
        driver.reset();
        let mut first = None;
        let mut sink = |_: offramp::Answer<'_>| {
            first.get_or_insert_with(|| kernels_run(driver));
        };
        bench.engine.run(&batch, &settings, &mut sink).unwrap();
        first.unwrap() < kernels_run(driver)
    });
    assert!(is_early, "no answer came before the last kernel had run");
}

/// Normalises two rows on a device of its own.
fn normalise_in_bf16() {
    let make: Make = || machine::device(Elem::Bf16);
    let suite = Suite { make, tolerance: Tolerance::BF16 };
    let mut start = Start::new(&[1, 1]);
    let (scale, shift) = (start.vector(8), start.vector(8));
    let x = start.span(8);
    let mut stage = start.begin(&suite);
    stage.issue(Norm { x, scale, shift, eps: 1e-5, out: x, width: 8 });
    stage.device.finish().unwrap();
}

/// One device costs one context, and only the kernels that are used; another one, while the
/// first is open, costs neither.
#[test]
fn devices_share_a_context_and_kernels() {
    let Some((_alone, driver)) = alone() else { return };
    machine::options();
    driver.reset();
    normalise_in_bf16();
    let first = driver.counts();
    assert_eq!((first.contexts, first.modules), (0, 1), "one file of kernels, when it is needed");
    normalise_in_bf16();
    let second = driver.counts();
    assert_eq!((second.contexts, second.modules), (0, 1), "nothing is loaded again");
}
