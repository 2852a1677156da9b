//! A device of your own: here a CPU that counts what it is asked for.
//! `cargo run --release -p offramp --example 05_device`
#![expect(clippy::print_stdout, reason = "an example for people")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use offramp::kernels::cpu::CpuDevice;
use offramp::kernels::{
    Admission, ArenaLayout, Compact, Device, ExitId, ExitRecord, GroupId, LiveBound, Op, Result,
    Room, Span, WeightData, WeightId,
};
use offramp::{AfterExit, Answer, Engine, EngineOptions, Exits, Model, PassSettings, RowSlot};

/// Ops by the first word that they are called by.
type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

struct Counting {
    cpu: CpuDevice,
    counts: Counts,
}

/// What is not asked for otherwise is the CPU's own.
impl Device for Counting {
    fn name(&self) -> String {
        format!("counting {}", self.cpu.name())
    }

    fn issue(&mut self, op: &Op, bound: LiveBound) -> Result<()> {
        let text = op.to_string();
        let name = text.split_whitespace().next().unwrap_or_default().to_owned();
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        self.cpu.issue(op, bound)
    }

    fn reserve(&mut self, layout: &ArenaLayout) -> Result<()> {
        self.cpu.reserve(layout)
    }

    fn reserved_bytes(&self) -> usize {
        self.cpu.reserved_bytes()
    }

    fn load(&mut self, weight: WeightId, first_row: usize, data: WeightData<'_>) -> Result<()> {
        self.cpu.load(weight, first_row, data)
    }

    fn room(&self) -> Room {
        self.cpu.room()
    }

    fn admit(&mut self, rows: &Admission<'_>, slots: &mut Vec<RowSlot>) -> Result<GroupId> {
        self.cpu.admit(rows, slots)
    }

    fn park(&mut self, site: Option<&Compact>) -> Result<()> {
        self.cpu.park(site)
    }

    fn gather(&mut self, groups: &[GroupId], site: &Compact) -> Result<()> {
        self.cpu.gather(groups, site)
    }

    fn retire(&mut self, slots: &[RowSlot]) -> Result<()> {
        self.cpu.retire(slots)
    }

    fn clear(&mut self) {
        self.cpu.clear();
    }

    fn exits(&mut self, sink: &mut Vec<ExitRecord>) -> Result<()> {
        self.cpu.exits(sink)
    }

    fn is_done(&mut self) -> Result<bool> {
        self.cpu.is_done()
    }

    fn logits(&self, exit: ExitId, slot: RowSlot) -> &[f32] {
        self.cpu.logits(exit, slot)
    }

    fn finish(&mut self) -> Result<()> {
        self.cpu.finish()
    }

    fn write(&mut self, span: Span, values: &[f32]) -> Result<()> {
        self.cpu.write(span, values)
    }

    fn read(&mut self, span: Span, values: &mut [f32]) -> Result<()> {
        self.cpu.read(span, values)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model =
        Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/models/trec-questions"))?;
    let counts = Counts::default();
    let device = Counting { cpu: CpuDevice::new(1)?, counts: counts.clone() };
    let mut engine = Engine::with_device(device, &model, &EngineOptions::default())?;
    counts.lock().unwrap_or_else(PoisonError::into_inner).clear();

    let mut batch = engine.batch();
    let row = model.tokenizer()?.encode("How far away is the moon?", None)?;
    batch.push(&row.ids, &row.kinds)?.ok_or("one row fits")?;
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Release);
    engine.run(&batch, &settings, &mut |answer: Answer<'_>| {
        println!("{}: {}", engine_says(answer.score), model.label(answer.label));
    })?;
    println!(
        "{}: {:?}",
        engine.device_name(),
        counts.lock().unwrap_or_else(PoisonError::into_inner)
    );
    Ok(())
}

fn engine_says(score: f32) -> String {
    format!("{:.0} % sure", 100.0 * score)
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
