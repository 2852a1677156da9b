//! Copies that take long: nothing is overwritten before it has gone over.

use std::time::Duration;

use offramp::{
    AfterExit, Answer, Engine, EngineOptions, ExitWindow, Exits, Group, Model, PassSettings, Score,
    Sink,
};
use offramp_libcuda::Simulator;
use offramp_tests::suite::staged;

use crate::support::{Bench, Given, exactly_at, fill, model_with_ramps, random_rows};
use crate::{alone, machine};

const DELAY: Duration = Duration::from_millis(10);

/// However long copies take, a pass is over its own images: the device waits for them, and nothing
/// is overwritten on the way.
#[test]
fn a_pass_waits_for_slow_images() {
    let Some((_alone, driver)) = alone() else { return };
    driver.delay_copies(DELAY);
    let suite = machine::suite(machine::f16);
    for check in [staged::next_pass, staged::other_pass, staged::malformed] {
        suite.run(check);
    }
    driver.delay_copies(Duration::ZERO);
}

/// The last answer to each slot.
struct Told(Vec<Option<Given>>);

impl Sink for Told {
    fn answer(&mut self, answer: Answer<'_>) {
        let Answer { slot, label, score, exit, logits, .. } = answer;
        let given = Given { label, score, exit, logits: logits.to_vec() };
        self.0[slot.0 as usize] = Some(given);
    }
}

/// An engine for groups of random rows, each known by how many they are.
struct Yard {
    model: Model,
    engine: Engine,
    exits: Exits,
    told: Told,
}

impl Yard {
    fn new(name: &str) -> Self {
        let model = model_with_ramps(name, 7);
        let options = EngineOptions { groups_max: 3, ..machine::options() };
        let engine = Engine::new(&model, &options).unwrap();
        let exits = Exits::uniform(engine.plan(), Score::Confidence, 0.6).unwrap();
        let told = Told(vec![None; options.limits.rows_max]);
        Self { model, engine, exits, told }
    }

    /// So many rows wait at the first site.
    fn park(&mut self, count: usize) -> Group {
        let mut batch = self.engine.batch();
        fill(&mut batch, &random_rows(count, &self.model, count as u64));
        let windows = windows(count);
        let mut settings = PassSettings::new(&self.exits, AfterExit::Compact);
        settings.windows = &windows;
        let mut group = self.engine.admit(&batch, &settings).unwrap().unwrap();
        group.slots().iter().for_each(|slot| self.told.0[slot.0 as usize] = None);
        self.engine.step(&mut group, None, &mut self.told).unwrap();
        self.engine.park(&mut group).unwrap();
        group
    }

    /// Looks for records until the first row of a group has its answer.
    fn hear(&mut self, group: &Group) {
        while self.told.0[group.slots()[0].0 as usize].is_none() {
            self.engine.drain(&mut self.told).unwrap();
        }
    }

    fn gather(&mut self, group: &mut Group, other: Group) {
        self.engine.gather(group, &mut vec![other]).unwrap();
    }

    /// Runs a group to its end: its rows, those of these groups, must be answered as in plain
    /// passes.
    fn check(&mut self, mut group: Group, counts: &[usize]) {
        if group.is_parked() {
            self.engine.gather(&mut group, &mut Vec::new()).unwrap();
        }
        while self.engine.step(&mut group, None, &mut self.told).unwrap() {}
        let slots = group.slots().to_vec();
        self.engine.finish(group, &mut self.told).unwrap();
        let told = slots.iter().map(|slot| self.told.0[slot.0 as usize].clone());
        let expected = counts.iter().flat_map(|&count| self.plain(count));
        assert_eq!(told.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    fn plain(&self, count: usize) -> Vec<Option<Given>> {
        let windows = windows(count);
        let mut settings = PassSettings::new(&self.exits, AfterExit::Compact);
        settings.windows = &windows;
        let rows = random_rows(count, &self.model, count as u64);
        Bench::new(&self.model, 1).run_with(&rows, &settings).0.answers
    }
}

/// The first row leaves at the first ramp.
fn windows(count: usize) -> Vec<ExitWindow> {
    let mut windows = vec![ExitWindow::ANY; count];
    windows[0] = exactly_at(0);
    windows
}

/// Slow copies until it is dropped.
struct Slow(&'static Simulator);

impl Slow {
    fn new(driver: &'static Simulator) -> Self {
        driver.delay_copies(DELAY);
        Self(driver)
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.0.delay_copies(Duration::ZERO);
    }
}

/// What rows come with lies by group. One that has joined another leaves its part to the next, and
/// what it came with may still be on its way.
#[test]
fn a_group_waits_for_the_part_of_one_that_joined_another() {
    let Some((_alone, driver)) = alone() else { return };
    let mut yard = Yard::new("bert-relu-many");
    let mut first = yard.park(3);
    yard.hear(&first);
    let slow = Slow::new(driver);
    let joins = yard.park(5);
    yard.gather(&mut first, joins);
    yard.engine.park(&mut first).unwrap();
    let next = yard.park(4);
    drop(slow);
    yard.check(first, &[3, 5]);
    yard.check(next, &[4]);
}

/// The state of a row lies by slot. A row that was cancelled leaves its slot to the next, and its
/// state may still be on its way: its ramp would speak in the name of the other.
#[test]
fn a_row_waits_for_the_state_of_the_one_before() {
    let Some((_alone, driver)) = alone() else { return };
    let mut yard = Yard::new("bert-relu-many");
    let mut first = yard.park(3);
    yard.hear(&first);
    let slow = Slow::new(driver);
    let joins = yard.park(5);
    yard.gather(&mut first, joins);
    yard.engine.cancel(first).unwrap();
    let next = yard.park(7);
    drop(slow);
    yard.check(next, &[7]);
}

/// The same where the part of the group and the slots are those of the one before.
#[test]
fn a_group_waits_for_one_that_was_cancelled() {
    let Some((_alone, driver)) = alone() else { return };
    let mut yard = Yard::new("bert-relu-many");
    let slow = Slow::new(driver);
    let cancelled = yard.park(2);
    yard.engine.cancel(cancelled).unwrap();
    let next = yard.park(6);
    drop(slow);
    yard.check(next, &[6]);
}

/// Images have two blocks: those of a third group take the place of the first.
#[test]
fn a_group_waits_for_the_images_of_the_last_but_one() {
    let Some((_alone, driver)) = alone() else { return };
    let mut yard = Yard::new("resnet-cifar");
    let slow = Slow::new(driver);
    let groups = [3, 4, 5].map(|count| (yard.park(count), count));
    drop(slow);
    for (group, count) in groups {
        yard.check(group, &[count]);
    }
}
