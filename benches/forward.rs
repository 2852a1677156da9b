//! A full forward of a MiniLM-sized and a BERT-base-sized model at 1, 8 and 32 rows x 128 tokens.
//!
//! Variants: exits off; and a uniform exit profile (the same share of rows leaves at every ramp)
//! under release and compact. Results are checked before anything is timed.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use offramp::{
    AfterExit, Answer, Batch, DeviceChoice, Engine, EngineOptions, ExitWindow, Exits, Model,
    PassSettings, Score,
};
use offramp_benches::random_ramps;
use offramp_tests::models::BertSize;

const TOKENS: usize = 128;
const ROWS: [usize; 3] = [1, 8, 32];

fn forward(criterion: &mut Criterion) {
    for (name, size) in [("minilm", BertSize::MINI_LM), ("bert-base", BertSize::BASE)] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        size.write(dir.path(), 1).expect("room for the model");
        let mut model = Model::open(dir.path()).expect("a model");
        model.set_ramps(Some(random_ramps(&model)));
        let options = EngineOptions { device: DeviceChoice::Cpu, ..EngineOptions::default() };
        let mut engine = Engine::new(&model, &options).expect("an engine");
        for rows in ROWS {
            at(criterion, name, &mut engine, rows);
        }
    }
}

fn at(criterion: &mut Criterion, name: &str, engine: &mut Engine, rows: usize) {
    let mut group = criterion.benchmark_group(format!("forward/{name}/{rows}x{TOKENS}"));
    group.sample_size(10).warm_up_time(Duration::from_secs(1)).throughput(rows_of(rows));
    let batch = batch(engine, rows);
    let off = Exits::off(engine.plan());
    let watching = Exits::watching(engine.plan(), Score::Confidence);
    let windows = uniform(rows, engine.plan().layout.exits as u32);
    for (variant, exits, after_exit, windows) in [
        ("off", &off, AfterExit::Release, &[][..]),
        ("uniform-release", &watching, AfterExit::Release, &windows),
        ("uniform-compact", &watching, AfterExit::Compact, &windows),
    ] {
        let settings = PassSettings { windows, ..PassSettings::new(exits, after_exit) };
        assert_eq!(answers(engine, &batch, &settings), rows, "every row answered");
        group.bench_function(BenchmarkId::from_parameter(variant), |bencher| {
            bencher.iter(|| answers(engine, &batch, &settings));
        });
    }
}

fn rows_of(rows: usize) -> Throughput {
    Throughput::Elements(rows as u64)
}

fn batch(engine: &Engine, rows: usize) -> Batch {
    let mut batch = engine.batch();
    for row in 0..rows as u32 {
        let ids: Vec<u32> = (0..TOKENS as u32).map(|i| (row * 977 + i * 131) % 30_000).collect();
        batch.push(&ids, &[]).expect("a row that fits").expect("room");
    }
    batch
}

/// Row `i` leaves at exit `i mod exits`.
fn uniform(rows: usize, exits: u32) -> Vec<ExitWindow> {
    (0..rows as u32).map(|i| ExitWindow { first: i % exits, last: i % exits }).collect()
}

fn answers(engine: &mut Engine, batch: &Batch, settings: &PassSettings<'_>) -> usize {
    let mut answered = 0;
    let mut sink = |answer: Answer<'_>| answered += usize::from(answer.is_finite);
    engine.run(batch, settings, &mut sink).expect("a pass");
    answered
}

criterion_group!(benches, forward);
criterion_main!(benches);
