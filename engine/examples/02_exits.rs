//! The same with early exits: easy rows leave first, the others are packed together and go on.
//! `cargo run --release -p offramp --example 02_exits`
#![expect(clippy::print_stdout, reason = "an example for people")]

use offramp::{AfterExit, Answer, Engine, EngineOptions, Exits, Model, PassSettings};

const QUESTIONS: [&str; 4] = [
    "Who painted the Mona Lisa?",
    "What does NASA stand for?",
    "How far away is the moon?",
    "What is the name of the chocolate company in San Francisco?",
];

fn main() -> Result<(), offramp::Error> {
    let model =
        Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/models/trec-questions"))?;
    let tokenizer = model.tokenizer()?;
    let mut engine = Engine::new(&model, &EngineOptions::default())?;

    let mut batch = engine.batch();
    for question in QUESTIONS {
        let row = tokenizer.encode(question, None)?;
        batch.push(&row.ids, &row.kinds)?;
    }
    let thresholds = model.thresholds().expect("the shipped model has thresholds");
    let exits = Exits::from_file(engine.plan(), thresholds)?;
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let report = engine.run(&batch, &settings, &mut |answer: Answer<'_>| {
        let question = QUESTIONS[answer.row];
        let (label, depth) = (model.label(answer.label), 100.0 * answer.depth);
        println!("{label:5} after {depth:3.0} % of the layers  {question}");
    })?;
    println!("rows were packed {} times", report.compactions);
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
