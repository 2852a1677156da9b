//! Audits: a share of the rows runs to the end whatever it answers, so that agreement with the
//! full model can be estimated while serving.
//! `cargo run --release -p offramp --example 03_feedback`
#![expect(clippy::print_stdout, reason = "an example for people")]

use offramp::{
    AfterExit, Answer, Engine, EngineOptions, Exits, Model, Observation, PassSettings, Score, Sink,
};

/// Weighs every row whose full answer is known by the inverse of its chance of being known.
#[derive(Default)]
struct Agreement {
    early: Vec<u32>,
    agreeing: f64,
    weight: f64,
}

impl Sink for Agreement {
    fn answer(&mut self, answer: Answer<'_>) {
        self.early[answer.slot.0 as usize] = answer.label;
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let Some(label) = observation.final_label else { return };
        self.weight += observation.weight;
        if label == self.early[observation.slot.0 as usize] {
            self.agreeing += observation.weight;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/models/trec-questions");
    let model = Model::open(dir)?;
    let tokenizer = model.tokenizer()?;
    let mut engine = Engine::new(&model, &EngineOptions::default())?;
    let exits = Exits::uniform(engine.plan(), Score::Margin, 0.8)?;
    let mut settings = PassSettings::new(&exits, AfterExit::Compact);
    settings.audit_rate = 0.1;

    let mut batch = engine.batch();
    let mut agreement = Agreement { early: vec![0; 32], ..Agreement::default() };
    for line in std::fs::read_to_string(format!("{dir}/test.jsonl"))?.lines() {
        let input: serde_json::Value = serde_json::from_str(line)?;
        let row = tokenizer.encode(input["text"].as_str().unwrap_or_default(), None)?;
        if batch.push(&row.ids, &row.kinds)?.is_none() {
            engine.run(&batch, &settings, &mut agreement)?;
            batch.clear();
            batch.push(&row.ids, &row.kinds)?;
        }
    }
    engine.run(&batch, &settings, &mut agreement)?;
    let percent = 100.0 * agreement.agreeing / agreement.weight;
    println!("estimated agreement with the full model: {percent:.2} %");
    Ok(())
}
