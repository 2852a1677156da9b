//! Thresholds and ramps that follow the workload within a promise: at most 1 % of the answers
//! differ from the full model's, at 95 % confidence.
//! `cargo run --release -p offramp-tune --example adapt`
#![expect(clippy::print_stdout, reason = "an example for people")]

use offramp::{AfterExit, Answer, Engine, EngineOptions, Exit, Exits, Model, Score, Shape};
use offramp_tune::adapt::{AdaptOptions, Adaptive};
use offramp_tune::profile::ShapeProfile;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/models/trec-questions");
    let model = Model::open(dir)?;
    let tokenizer = model.tokenizer()?;
    let mut engine = Engine::new(&model, &EngineOptions::default())?;

    // What segments and ramps cost here; nobody leaves until that is proved to be safe.
    let shapes = [ShapeProfile::measure(&mut engine, Shape { rows: 32, tokens: 16 }, 5)?];
    let nobody = Exits::watching(engine.plan(), Score::Confidence);
    let mut adaptive = Adaptive::start(&engine, &nobody, &shapes, &AdaptOptions::default())?;

    let text = std::fs::read_to_string(model.path("train.jsonl"))?;
    let lines: Vec<serde_json::Value> =
        text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    for (nth, lines) in lines.chunks(32).enumerate() {
        let mut batch = engine.batch();
        for line in lines {
            let row = tokenizer.encode(line["text"].as_str().unwrap_or_default(), None)?;
            batch.push(&row.ids, &row.kinds)?;
        }
        let mut early = 0;
        let mut sink = |answer: Answer<'_>| early += u32::from(answer.exit != Exit::Final);
        adaptive.run(&mut engine, &batch, AfterExit::Compact, &mut sink)?;
        if nth % 20 == 0 {
            let (rows, version) = (batch.rows(), adaptive.exits().version);
            println!("pass {nth:3}, thresholds {version:2}: {early:2} of {rows} left early");
        }
    }
    println!("{:?}", adaptive.finish()?);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
