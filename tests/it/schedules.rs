//! Random schedules of groups: whatever waits where and comes together with whom, every row gets
//! the answer that a plain pass gives it, and every slot comes back.

use offramp::{
    AfterExit, Answer, Batch, Engine, EngineOptions, Exits, Group, Limits, Observation, Packing,
    PassSettings, Room, Row, Score, Sink,
};
use proptest::prelude::*;

use crate::machine;
use crate::support::{Bench, Given, exactly_at, fill, model_with_ramps, random_rows};

const MODELS: [&str; 5] = ["bert-relu-many", "roberta-cls", "resnet-cifar", "vgg", "deit-hf"];
const LIMITS: Limits = Limits { rows_max: 24, tokens_max: 400 };

/// One row: the batch it came with, and its index there.
type RowId = (usize, usize);

/// Who has which slot, and what was said of whom.
#[derive(Default)]
struct Ledger {
    /// By slot.
    owners: Vec<Option<RowId>>,
    answers: Vec<(RowId, Given)>,
    observed: Vec<RowId>,
    /// What answered, and the ramps before that.
    seen: Vec<(RowId, u32, Vec<u32>)>,
}

impl Ledger {
    fn owner(&self, slot: u32, row: usize) -> RowId {
        let owner = self.owners[slot as usize].expect("a row has this slot");
        assert_eq!(owner.1, row, "the row of slot {slot}");
        owner
    }

    fn admit(&mut self, group: &Group, batch: usize) {
        self.owners.resize(LIMITS.rows_max, None);
        for (row, slot) in group.slots().iter().enumerate() {
            let before = self.owners[slot.0 as usize].replace((batch, row));
            assert_eq!(before, None, "slot {} is handed out twice", slot.0);
        }
    }

    fn retire(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.owners[slot as usize] = None);
    }
}

impl Sink for Ledger {
    fn answer(&mut self, answer: Answer<'_>) {
        let Answer { row, slot, label, score, exit, logits, .. } = answer;
        let given = Given { label, score, exit, logits: logits.to_vec() };
        self.answers.push((self.owner(slot.0, row), given));
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let id = self.owner(observation.slot.0, observation.row);
        self.observed.push(id);
        let ramps = observation.seen.iter().map(|seen| seen.ramp);
        let before = ramps.take_while(|&ramp| ramp <= observation.exit).collect();
        self.seen.push((id, observation.exit, before));
    }
}

/// An engine with several groups on their way.
struct Yard {
    engine: Engine,
    running: Option<Group>,
    parked: Vec<Group>,
    /// Groups that have run to their end.
    ended: Vec<Group>,
    cancelled: Vec<RowId>,
    ledger: Ledger,
}

fn slots(group: &Group) -> Vec<u32> {
    group.slots().iter().map(|slot| slot.0).collect()
}

impl Yard {
    fn admit(&mut self, batch: &Batch, settings: &PassSettings<'_>, index: usize) -> bool {
        if self.running.is_some() {
            return false;
        }
        self.running = self.engine.admit(batch, settings).unwrap();
        self.running.iter().for_each(|group| self.ledger.admit(group, index));
        self.running.is_some()
    }

    /// One segment of the group that runs.
    fn step(&mut self) {
        let Some(mut group) = self.running.take() else { return };
        match self.engine.step(&mut group, None, &mut self.ledger).unwrap() {
            true => self.running = Some(group),
            false => self.ended.push(group),
        }
    }

    fn park(&mut self) {
        let Some(mut group) = self.running.take() else { return };
        match group.site() {
            Some(_) => {
                self.engine.park(&mut group).unwrap();
                self.parked.push(group);
            }
            None => self.running = Some(group),
        }
    }

    /// One that is parked runs on, with others that are parked there.
    fn gather(&mut self, choice: usize, alone: bool) {
        if self.running.is_some() || self.parked.is_empty() {
            return;
        }
        let mut group = self.parked.swap_remove(choice % self.parked.len());
        let site = group.site();
        let mut others: Vec<Group> = Vec::new();
        if !alone {
            others = self.parked.extract_if(.., |other| other.site() == site).collect();
        }
        self.engine.gather(&mut group, &mut others).unwrap();
        assert!(others.is_empty() && !group.is_parked());
        self.running = Some(group);
    }

    fn finish(&mut self) {
        let Some(group) = self.ended.pop() else { return };
        let slots = slots(&group);
        let report = self.engine.finish(group, &mut self.ledger).unwrap();
        assert_eq!(report.rows, slots.len());
        self.ledger.retire(&slots);
    }

    fn cancel(&mut self, choice: usize) {
        if self.parked.is_empty() {
            return;
        }
        let group = self.parked.swap_remove(choice % self.parked.len());
        let slots = slots(&group);
        let owners = slots.iter().filter_map(|&slot| self.ledger.owners[slot as usize]);
        self.cancelled.extend(owners);
        self.engine.cancel(group).unwrap();
        self.ledger.retire(&slots);
    }

    /// Lets all that are left run to their end.
    fn clear(&mut self) {
        while self.running.is_some() || !self.parked.is_empty() || !self.ended.is_empty() {
            self.gather(0, false);
            self.step();
            self.finish();
        }
    }
}

/// What to do next, by weight.
#[derive(Debug, Clone, Copy)]
enum Act {
    Admit,
    Step,
    Park,
    Gather { choice: usize, alone: bool },
    Finish,
    Cancel(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let gather = (0usize..4, any::<bool>());
    let act = prop_oneof![
        4 => Just(Act::Admit),
        8 => Just(Act::Step),
        4 => Just(Act::Park),
        5 => gather.prop_map(|(choice, alone)| Act::Gather { choice, alone }),
        2 => Just(Act::Finish),
        1 => (0usize..4).prop_map(Act::Cancel),
    ];
    prop::collection::vec(act, 20..80)
}

fn scores() -> impl Strategy<Value = Score> {
    prop_oneof![Just(Score::Confidence), Just(Score::Patience { k: 2 })]
}

fn settings<'a>(
    exits: &'a Exits,
    seed: u64,
    windows: &'a [offramp::ExitWindow],
) -> PassSettings<'a> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let after_exit = [AfterExit::Release, AfterExit::Compact][rng.usize(..2)];
    let packing = [Packing::Auto, Packing::Always, Packing::Never][rng.usize(..3)];
    let audit_rate = if rng.bool() { 0.3 } else { 0.0 };
    PassSettings { packing, audit_rate, windows, ..PassSettings::new(exits, after_exit) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(machine::cases()))]

    #[test]
    fn any_schedule_gives_the_answers_of_plain_passes(
        name in prop::sample::select(&MODELS[..]),
        seed in 0u64..1000,
        counts in prop::collection::vec(1usize..12, 6),
        acts in acts(),
        score in scores(),
        threshold in 0.2f32..0.9,
    ) {
        let model = model_with_ramps(name, seed);
        let mut plain = Bench::new(&model, 1);
        let exits = plain.exits(score, threshold);
        let ramps = plain.engine.plan().ramps() as u32;
        let rows: Vec<Vec<Row>> = (0u64..)
            .zip(&counts)
            .map(|(at, &count)| random_rows(count, &model, seed + at))
            .collect();
        // Some batches have their exits told.
        let windows: Vec<Vec<_>> = (0..)
            .zip(&counts)
            .map(|(at, &count)| {
                let told = (0..count as u32).map(|row| exactly_at(row % (ramps + 1)));
                if at % 3 == 0 { told.collect() } else { Vec::new() }
            })
            .collect();
        let expected: Vec<Vec<Given>> = rows
            .iter()
            .zip(&windows)
            .map(|(rows, windows)| {
                let settings =
                    PassSettings { windows, ..PassSettings::new(&exits, AfterExit::Compact) };
                let (heard, _) = plain.run_with(rows, &settings);
                heard.answers.into_iter().flatten().collect()
            })
            .collect();

        let several = EngineOptions { limits: LIMITS, groups_max: 4, ..machine::options() };
        let options = EngineOptions { threads: 2, ..several };
        let mut yard = Yard {
            engine: Engine::new(&model, &options).unwrap(),
            running: None,
            parked: Vec::new(),
            ended: Vec::new(),
            cancelled: Vec::new(),
            ledger: Ledger::default(),
        };
        let mut batch = yard.engine.batch();
        let mut admitted = 0;
        for act in acts {
            match act {
                Act::Admit if admitted < rows.len() => {
                    fill(&mut batch, &rows[admitted]);
                    let settings = settings(&exits, seed + admitted as u64, &windows[admitted]);
                    admitted += usize::from(yard.admit(&batch, &settings, admitted));
                }
                Act::Admit => {}
                Act::Step => yard.step(),
                Act::Park => yard.park(),
                Act::Gather { choice, alone } => yard.gather(choice, alone),
                Act::Finish => yard.finish(),
                Act::Cancel(choice) => yard.cancel(choice),
            }
        }
        yard.clear();

        let places = yard.engine.plan().layout.tokens_max;
        let room = Room { rows: LIMITS.rows_max, places, groups: 4 };
        prop_assert_eq!(yard.engine.room(), room, "a slot, a place or a group is lost");
        let Ledger { mut answers, mut observed, seen, .. } = yard.ledger;
        for (id, exit, before) in seen {
            let met: Vec<u32> = (0..ramps.min(exit + 1)).collect();
            prop_assert_eq!(before, met, "every ramp up to its exit has spoken: {:?}", id);
        }
        let all = (0..admitted).flat_map(|batch| (0..counts[batch]).map(move |row| (batch, row)));
        let kept: Vec<RowId> = all.filter(|id| !yard.cancelled.contains(id)).collect();
        answers.sort_by_key(|(id, _)| *id);
        observed.sort_unstable();
        prop_assert_eq!(&observed, &kept, "each row is observed once");
        for (id, given) in &answers {
            prop_assert_eq!(given, &expected[id.0][id.1], "bit for bit: {:?}", id);
        }
        answers.retain(|(id, _)| !yard.cancelled.contains(id));
        let answered: Vec<RowId> = answers.iter().map(|(id, _)| *id).collect();
        prop_assert_eq!(&answered, &kept, "each row is answered once");
    }
}
