//! Random schedules of groups: whatever waits where and comes together with whom, every row gets
//! the answer that a plain pass gives it, and every slot comes back.

use offramp::{
    AfterExit, Answer, Batch, Engine, EngineOptions, ExitWindow, Exits, Group, Limits, Model,
    Observation, Packing, PassSettings, Room, Row, Score, Sink,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::machine;
use crate::support::{Bench, Given, exactly_at, fill, model_with_ramps, random_rows};

const MODELS: [&str; 5] = ["bert-relu-many", "roberta-cls", "resnet-cifar", "vgg", "deit-hf"];
const LIMITS: Limits = Limits { rows_max: 24, tokens_max: 400 };

/// One row: the batch it came with, and its index there.
type RowId = (usize, usize);

/// A batch to come, the snapshot that it meets, and what a plain pass answers.
struct Load {
    rows: Vec<Row>,
    windows: Vec<ExitWindow>,
    exits: Exits,
    expected: Vec<Given>,
}

impl Load {
    /// Some batches have their exits told.
    fn new(plain: &mut Bench, rows: Vec<Row>, exits: &Exits, are_told: bool) -> Self {
        let ramps = exits.active.len() as u32;
        let told = if are_told { rows.len() as u32 } else { 0 };
        let windows: Vec<_> = (0..told).map(|row| exactly_at(row % (ramps + 1))).collect();
        let mut settings = PassSettings::new(exits, AfterExit::Compact);
        settings.windows = &windows;
        let (heard, _) = plain.run_with(&rows, &settings);
        let expected = heard.answers.into_iter().flatten().collect();
        Self { rows, windows, exits: exits.clone(), expected }
    }

    /// Whatever changes no answer, by chance.
    fn settings(&self, seed: u64) -> PassSettings<'_> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let after_exit = [AfterExit::Release, AfterExit::Compact][rng.usize(..2)];
        let packing = [Packing::Auto, Packing::Always, Packing::Never][rng.usize(..3)];
        let audit_rate = if rng.bool() { 0.3 } else { 0.0 };
        let windows = &self.windows;
        PassSettings { packing, audit_rate, windows, ..PassSettings::new(&self.exits, after_exit) }
    }

    /// The ramps that a row meets up to `exit`.
    fn ramps_until(&self, exit: u32) -> Vec<u32> {
        let ramps = (0..).zip(&self.exits.active).filter(|(_, active)| **active);
        ramps.map(|(ramp, _)| ramp).take_while(|&ramp| ramp <= exit).collect()
    }
}

/// What a row showed.
struct Shown {
    id: RowId,
    exit: u32,
    /// The ramps that it met until it was answered.
    ramps: Vec<u32>,
    version: u64,
}

/// Who has which slot, and what was said of whom.
#[derive(Default)]
struct Ledger {
    /// By slot.
    owners: Vec<Option<RowId>>,
    answers: Vec<(RowId, Given)>,
    shown: Vec<Shown>,
}

impl Ledger {
    fn owner(&self, slot: u32, row: usize) -> RowId {
        let owner = self.owners[slot as usize].expect("a row has this slot");
        assert_eq!(owner.1, row, "the row of slot {slot}");
        owner
    }

    fn admit(&mut self, group: &Group, batch: usize) {
        for (row, slot) in group.slots().iter().enumerate() {
            let before = self.owners[slot.0 as usize].replace((batch, row));
            assert_eq!(before, None, "slot {} is handed out twice", slot.0);
        }
    }

    fn retire(&mut self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.owners[slot as usize] = None);
    }

    fn note_answer(&mut self, id: RowId, answer: &Answer<'_>) {
        let Answer { label, score, exit, logits, .. } = *answer;
        self.answers.push((id, Given { label, score, exit, logits: logits.to_vec() }));
    }

    fn note_shown(&mut self, id: RowId, observation: &Observation<'_>) {
        let Observation { seen, exit, version, .. } = *observation;
        let ramps = seen.iter().map(|seen| seen.ramp).take_while(|&ramp| ramp <= exit).collect();
        self.shown.push(Shown { id, exit, ramps, version });
    }

    /// Each row of these batches was answered and observed once, as in a plain pass; those of
    /// groups that were cancelled at most once.
    fn check(mut self, loads: &[Load], cancelled: &[RowId]) -> TestCaseResult {
        for Shown { id, exit, ramps, version } in &self.shown {
            let load = &loads[id.0];
            prop_assert_eq!(ramps, &load.ramps_until(*exit), "every ramp has spoken: {:?}", id);
            prop_assert_eq!(*version, load.exits.version, "the snapshot of {:?}", id);
        }
        for (id, given) in &self.answers {
            prop_assert_eq!(given, &loads[id.0].expected[id.1], "bit for bit: {:?}", id);
        }
        let rows =
            |(batch, load): (usize, &Load)| (0..load.rows.len()).map(move |row| (batch, row));
        let all = loads.iter().enumerate().flat_map(rows);
        let kept: Vec<RowId> = all.filter(|id| !cancelled.contains(id)).collect();
        self.answers.retain(|(id, _)| !cancelled.contains(id));
        let mut answered: Vec<RowId> = self.answers.iter().map(|(id, _)| *id).collect();
        let mut observed: Vec<RowId> = self.shown.iter().map(|shown| shown.id).collect();
        answered.sort_unstable();
        observed.sort_unstable();
        prop_assert_eq!(&answered, &kept, "each row is answered once");
        prop_assert_eq!(&observed, &kept, "each row is observed once");
        Ok(())
    }
}

impl Sink for Ledger {
    fn answer(&mut self, answer: Answer<'_>) {
        self.note_answer(self.owner(answer.slot.0, answer.row), &answer);
    }

    fn observe(&mut self, observation: Observation<'_>) {
        self.note_shown(self.owner(observation.slot.0, observation.row), &observation);
    }
}

/// Hears of a pass, and of nobody else.
struct Pass<'a> {
    batch: usize,
    ledger: &'a mut Ledger,
}

impl Pass<'_> {
    fn id(&self, slot: u32, row: usize) -> RowId {
        assert_eq!(self.ledger.owners[slot as usize], None, "slot {slot} is not of this pass");
        (self.batch, row)
    }
}

impl Sink for Pass<'_> {
    fn answer(&mut self, answer: Answer<'_>) {
        self.ledger.note_answer(self.id(answer.slot.0, answer.row), &answer);
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let id = self.id(observation.slot.0, observation.row);
        self.ledger.note_shown(id, &observation);
    }
}

/// An engine with several groups on their way.
struct Yard {
    engine: Engine,
    batch: Batch,
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
    fn new(model: &Model) -> Self {
        let several = EngineOptions { limits: LIMITS, groups_max: 4, ..machine::options() };
        let engine = Engine::new(model, &EngineOptions { threads: 2, ..several }).unwrap();
        let owners = vec![None; LIMITS.rows_max];
        Self {
            batch: engine.batch(),
            engine,
            running: None,
            parked: Vec::new(),
            ended: Vec::new(),
            cancelled: Vec::new(),
            ledger: Ledger { owners, ..Ledger::default() },
        }
    }

    /// Follows a schedule, then lets all that are left run to their end; how many batches came.
    fn follow(&mut self, acts: &[Act], loads: &[Load], seed: u64) -> usize {
        let mut came = 0;
        for act in acts {
            let load = loads.get(came);
            match *act {
                Act::Admit => came += usize::from(self.admit(load, came, seed)),
                Act::Run => came += usize::from(self.run(load, came, seed)),
                Act::Step => self.step(),
                Act::Park => self.park(),
                Act::Gather { choice, alone } => self.gather(choice, alone),
                Act::Drain => self.engine.drain(&mut self.ledger).unwrap(),
                Act::Finish => self.finish(),
                Act::Cancel(choice) => self.cancel(choice),
            }
        }
        while self.running.is_some() || !self.parked.is_empty() || !self.ended.is_empty() {
            self.gather(0, false);
            self.step();
            self.finish();
        }
        came
    }

    fn admit(&mut self, load: Option<&Load>, index: usize, seed: u64) -> bool {
        let Some(load) = load.filter(|_| self.running.is_none()) else { return false };
        fill(&mut self.batch, &load.rows);
        let settings = load.settings(seed + index as u64);
        self.running = self.engine.admit(&self.batch, &settings).unwrap();
        self.running.iter().for_each(|group| self.ledger.admit(group, index));
        self.running.is_some()
    }

    /// A whole pass beside those that wait.
    fn run(&mut self, load: Option<&Load>, index: usize, seed: u64) -> bool {
        let Some(load) = load.filter(|_| self.running.is_none()) else { return false };
        fill(&mut self.batch, &load.rows);
        let Room { rows, places, groups } = self.engine.room();
        if self.batch.rows() > rows || self.batch.tokens() > places || groups == 0 {
            return false;
        }
        let settings = load.settings(seed + index as u64);
        let mut pass = Pass { batch: index, ledger: &mut self.ledger };
        self.engine.run(&self.batch, &settings, &mut pass).unwrap();
        true
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

    /// One that is parked runs on, with others that may join it.
    fn gather(&mut self, choice: usize, alone: bool) {
        if self.running.is_some() || self.parked.is_empty() {
            return;
        }
        let mut group = self.parked.swap_remove(choice % self.parked.len());
        let mut others: Vec<Group> = Vec::new();
        if !alone {
            self.refuse_strangers(&mut group);
            others = self.parked.extract_if(.., |other| group.may_join(other)).collect();
        }
        self.engine.gather(&mut group, &mut others).unwrap();
        assert!(others.is_empty() && !group.is_parked());
        self.running = Some(group);
    }

    /// Those that wait elsewhere, or under another snapshot, stay where they are.
    fn refuse_strangers(&mut self, group: &mut Group) {
        let is_stranger = |other: &mut Group| !group.may_join(other);
        let strangers: Vec<Group> = self.parked.extract_if(.., is_stranger).collect();
        for stranger in strangers {
            let mut one = vec![stranger];
            self.engine.gather(group, &mut one).unwrap_err();
            self.parked.append(&mut one);
        }
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
}

/// What to do next, by weight.
#[derive(Debug, Clone, Copy)]
enum Act {
    Admit,
    Run,
    Step,
    Park,
    Gather { choice: usize, alone: bool },
    Drain,
    Finish,
    Cancel(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let gather = (0usize..4, any::<bool>());
    let act = prop_oneof![
        4 => Just(Act::Admit),
        1 => Just(Act::Run),
        8 => Just(Act::Step),
        4 => Just(Act::Park),
        5 => gather.prop_map(|(choice, alone)| Act::Gather { choice, alone }),
        1 => Just(Act::Drain),
        2 => Just(Act::Finish),
        1 => (0usize..4).prop_map(Act::Cancel),
    ];
    prop::collection::vec(act, 20..80)
}

fn scores() -> impl Strategy<Value = Score> {
    prop_oneof![Just(Score::Confidence), Just(Score::Patience { k: 2 })]
}

/// Two snapshots: thresholds, scores and active ramps differ.
fn snapshots(plain: &Bench, score: Score, threshold: f32) -> [Exits; 2] {
    let first = plain.exits(score, threshold);
    let mut second = plain.exits(Score::Margin, 1.0 - threshold);
    second.version = 1;
    (1..second.active.len()).step_by(2).for_each(|ramp| second.active[ramp] = false);
    [first, second]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(machine::cases()))]

    #[test]
    fn any_schedule_gives_the_answers_of_plain_passes(
        name in prop::sample::select(&MODELS[..]),
        seed in 0u64..1000,
        counts in prop::collection::vec((1usize..12, 0usize..2), 6),
        acts in acts(),
        score in scores(),
        threshold in 0.2f32..0.9,
    ) {
        let model = model_with_ramps(name, seed);
        let mut plain = Bench::new(&model, 1);
        let snapshots = snapshots(&plain, score, threshold);
        let load = |(at, &(count, snapshot)): (usize, &(usize, usize))| {
            let rows = random_rows(count, &model, seed + at as u64);
            Load::new(&mut plain, rows, &snapshots[snapshot], at % 3 == 0)
        };
        let loads: Vec<Load> = counts.iter().enumerate().map(load).collect();
        let mut yard = Yard::new(&model);
        let came = yard.follow(&acts, &loads, seed);

        let places = yard.engine.plan().layout.tokens_max;
        let room = Room { rows: LIMITS.rows_max, places, groups: 4 };
        prop_assert_eq!(yard.engine.room(), room, "a slot, a place or a group is lost");
        yard.ledger.check(&loads[..came], &yard.cancelled)?;
    }
}
