//! Answer some questions at full depth: `cargo run --release -p offramp --example 01_answer`.
#![expect(clippy::print_stdout, reason = "an example for people")]

use offramp::{AfterExit, Answer, Engine, EngineOptions, Exits, Model, PassSettings};

const QUESTIONS: [&str; 3] =
    ["Who painted the Mona Lisa?", "What does NASA stand for?", "How far away is the moon?"];

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
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Release);
    engine.run(&batch, &settings, &mut |answer: Answer<'_>| {
        let question = QUESTIONS[answer.row];
        println!("{:5} {:.3}  {question}", model.label(answer.label), answer.score);
    })?;
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
