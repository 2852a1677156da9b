//! Ask a service from async code, without a server: an early answer, the last one, a deadline, and
//! a request that nobody waits for any more.
//! `cargo run --release -p offramp-serve --example in_process`
#![expect(clippy::print_stdout, reason = "an example for people")]

use std::error::Error;

use offramp::{Engine, EngineOptions, Exits, Model, Shape};
use offramp_serve::{Exiting, Infer, InferOptions, Input, Served, Service, ServiceOptions};
use offramp_tune::profile::ShapeProfile;

fn ask(text: &str, options: InferOptions) -> Infer<'_> {
    Infer { input: Input::Text(text, None), options }
}

/// The shipped model, warmed up.
fn served() -> Result<Served, Box<dyn Error>> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/models/trec-questions");
    let model = Model::open(dir)?;
    let mut engine = Engine::new(&model, &EngineOptions::default())?;
    let exits = Exits::from_file(engine.plan(), model.thresholds().ok_or("no thresholds")?)?;
    let mut measure = |rows| ShapeProfile::measure(&mut engine, Shape { rows, tokens: 16 }, 3);
    let shapes = vec![measure(1)?, measure(32)?];
    Ok(Served { model, engine, exiting: Exiting::Fixed(exits), shapes })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let service = Service::start(served()?, &ServiceOptions::default())?;
    // Cheap to clone, and to be used from any task or thread.
    let handle = service.handle();

    let two_phase = InferOptions { two_phase: true, ..InferOptions::default() };
    let mut pending = handle.infer(&ask("How many feet are in a mile?", two_phase));
    if let Some(early) = pending.early().await {
        println!("early: class {} at ramp {}", early.label, early.exit);
    }
    let answers = pending.await?;
    println!("last:  class {}, {:?}", answers.last.label, answers.last.phase);

    let hurried = InferOptions { deadline_us: Some(1), ..InferOptions::default() };
    match handle.infer(&ask("Who wrote Hamlet?", hurried)).await {
        Ok(answers) => println!("in time: class {}", answers.last.label),
        Err(failure) => println!("refused: {failure}"),
    }

    drop(handle.infer(&ask("Where is Oslo?", InferOptions::default())));
    service.drain().await?;
    println!("{}", handle.stats());
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
