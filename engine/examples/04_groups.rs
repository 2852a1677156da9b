//! A pass is left at a site for a question that cannot wait, goes on where it was left, and takes
//! in another pass that has come as far. Nothing is computed twice.
//! `cargo run --release -p offramp --example 04_groups`
#![expect(clippy::print_stdout, reason = "an example for people")]

use offramp::{
    AfterExit, Answer, Batch, Engine, EngineOptions, Error, Exits, Group, Model, PassSettings,
    Score, Tokenizer,
};

const PATIENT: [&str; 2] = ["Who painted the Mona Lisa?", "How far away is the moon?"];
const OTHERS: [&str; 2] = ["What does NASA stand for?", "Where is the Louvre?"];
const URGENT: [&str; 1] = ["When did the war end?"];

fn batch(engine: &Engine, tokenizer: &Tokenizer, texts: &[&str]) -> Result<Batch, Error> {
    let mut batch = engine.batch();
    for text in texts {
        let row = tokenizer.encode(text, None)?;
        batch.push(&row.ids, &row.kinds)?;
    }
    Ok(batch)
}

fn main() -> Result<(), Error> {
    let model =
        Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/models/trec-questions"))?;
    let tokenizer = model.tokenizer()?;
    let options = EngineOptions { groups_max: 3, ..EngineOptions::default() };
    let mut engine = Engine::new(&model, &options)?;
    // Higher than fitted: rows shall come as far as the passes join.
    let exits = Exits::uniform(engine.plan(), Score::Confidence, 0.999)?;
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let mut tell = |answer: Answer<'_>| {
        let (label, depth) = (model.label(answer.label), 100.0 * answer.depth);
        println!("  slot {} is {label:5} after {depth:3.0} % of the layers", answer.slot.0);
    };

    println!("two passes run one segment each, and are parked");
    let mut parked: Vec<Group> = Vec::new();
    for texts in [PATIENT, OTHERS] {
        let batch = batch(&engine, &tokenizer, &texts)?;
        let mut group = engine.admit(&batch, &settings)?.expect("room");
        engine.step(&mut group, None, &mut tell)?;
        engine.park(&mut group)?;
        parked.push(group);
    }

    println!("an urgent question runs to its end");
    let urgent = batch(&engine, &tokenizer, &URGENT)?;
    engine.run(&urgent, &settings, &mut tell)?;

    println!("the passes go on as one");
    let mut group = parked.remove(0);
    engine.gather(&mut group, &mut parked)?;
    while engine.step(&mut group, None, &mut tell)? {}
    let report = engine.finish(group, &mut tell)?;
    println!("{} rows; the passes ran {} segments in all", report.rows, report.segments);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
