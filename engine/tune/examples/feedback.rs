//! Audits: a share of the rows runs to the end whatever it answers, so that agreement with the
//! full model can be estimated while serving.
//! `cargo run --release -p offramp-tune --example feedback`
#![expect(clippy::print_stdout, reason = "an example for people")]

use offramp::{
    AfterExit, Answer, Engine, EngineOptions, Exits, Model, Observation, PassSettings, Score, Sink,
};

/// Compares the rows of the sample: a fair one, so what holds of them holds of all.
#[derive(Default)]
struct Agreement {
    early: Vec<u32>,
    agreeing: u32,
    rows: u32,
}

impl Sink for Agreement {
    fn answer(&mut self, answer: Answer<'_>) {
        self.early[answer.row] = answer.label;
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let Some(label) = observation.final_label.filter(|_| observation.is_sample) else { return };
        self.rows += 1;
        self.agreeing += u32::from(label == self.early[observation.row]);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/models/trec-questions");
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
    let percent = 100.0 * f64::from(agreement.agreeing) / f64::from(agreement.rows);
    println!("estimated agreement with the full model: {percent:.2} %");
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
