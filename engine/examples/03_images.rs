//! Draw two pieces of clothing and have them named, early where the model is sure:
//! `cargo run --release -p offramp --example 03_images`.
#![expect(clippy::print_stdout, reason = "an example for people")]

use offramp::{
    AfterExit, Answer, Engine, EngineOptions, Error, Exits, Model, PassSettings, Picture,
};

const SIDE: usize = 56;

/// Bright where `is_cloth(row, column)`, both from 0 to 1.
fn draw(is_cloth: impl Fn(f32, f32) -> bool) -> Result<Picture, Error> {
    let part = |i: usize| i as f32 / SIDE as f32;
    let pixels = (0..SIDE * SIDE).map(|i| is_cloth(part(i / SIDE), part(i % SIDE)));
    let pixels = pixels.map(|is_cloth| if is_cloth { 200 } else { 0 }).collect();
    Ok(Picture::new([SIDE, SIDE, 1], pixels)?)
}

fn main() -> Result<(), Error> {
    let legs = draw(|y, x| (x - 0.5).abs() < 0.2 && ((x - 0.5).abs() > 0.05 || y < 0.3))?;
    let sleeves = draw(|y, x| y > 0.1 && ((x - 0.5).abs() < 0.25 || y < 0.35))?;

    let model = Model::open(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/models/fashion-mnist"))?;
    let preprocessor = model.preprocessor()?;
    let mut engine = Engine::new(&model, &EngineOptions::default())?;
    let mut batch = engine.batch();
    for picture in [&legs, &sleeves] {
        batch.push_image(&preprocessor.apply(picture))?;
    }
    let exits = match model.thresholds() {
        Some(thresholds) => Exits::from_file(engine.plan(), thresholds)?,
        None => Exits::off(engine.plan()),
    };
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    engine.run(&batch, &settings, &mut |answer: Answer<'_>| {
        let name = ["two legs", "two sleeves"][answer.row];
        let (label, run) = (model.label(answer.label), 100.0 * answer.depth);
        println!("{name:12} {label:12} {:.3}  {run:.0} % run", answer.score);
    })?;
    Ok(())
}

#[test]
fn it_runs() {
    main().expect("an example runs");
}
