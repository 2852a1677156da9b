//! A device of your own: here a CPU that is watched, by somebody who counts what it is asked for.
//! One that runs ops in its own way implements `Device`.
//! `cargo run --release -p offramp --example 05_device`
#![expect(clippy::print_stdout, reason = "an example for people")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use offramp::kernels::cpu::CpuDevice;
use offramp::kernels::{LiveBound, Op, Result, Watch, Watched};
use offramp::{AfterExit, Answer, Engine, EngineOptions, Exits, Model, PassSettings};

/// Ops by the first word that they are called by.
type Counts = Arc<Mutex<BTreeMap<String, usize>>>;

struct Counting(Counts);

/// What it does not hear of goes to the CPU all the same.
impl Watch for Counting {
    fn name(&self, device: String) -> String {
        format!("counting {device}")
    }

    fn issue(&mut self, op: &Op, _: LiveBound) -> Result<()> {
        let text = op.to_string();
        let name = text.split_whitespace().next().unwrap_or_default().to_owned();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model =
        Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/models/trec-questions"))?;
    let counts = Counts::default();
    let device = Watched::new(CpuDevice::new(1)?, Counting(counts.clone()));
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
