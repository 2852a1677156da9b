//! What a pass pays for its snapshot of thresholds: ours, `arc-swap` and `RwLock<Arc>`; and what
//! the control thread pays for a replay and a search.

use std::hint::black_box;
use std::sync::{Arc, RwLock};

use arc_swap::ArcSwap;
use criterion::{Criterion, criterion_group, criterion_main};
use offramp::{Exits, Score, threshold_table};
use offramp_tune::search::{Budget, Exact, Greedy, Search, Tethered};
use offramp_tune::{Window, replay};

fn exits(ramps: usize) -> Exits {
    let thresholds = [vec![0.9; ramps], vec![0.0]].concat();
    Exits { version: 0, score: Score::Confidence, thresholds, active: vec![true; ramps] }
}

fn snapshots(criterion: &mut Criterion) {
    for ramps in [12, 32] {
        let mut group = criterion.benchmark_group(format!("snapshot of {ramps} ramps"));
        let exits = exits(ramps);
        let (mut publisher, mut subscriber) = threshold_table(&exits);
        group.bench_function("table, nothing new", |b| b.iter(|| black_box(subscriber.refresh())));
        let (thresholds, active) = (vec![0.8; ramps], vec![true; ramps]);
        group.bench_function("table, published and taken", |b| {
            b.iter(|| {
                publisher.publish(&thresholds, &active).expect("thresholds that fit");
                black_box(subscriber.refresh())
            });
        });
        let swap = ArcSwap::from_pointee(exits.clone());
        group
            .bench_function("arc-swap, nothing new", |b| b.iter(|| black_box(swap.load().version)));
        group.bench_function("arc-swap, published and taken", |b| {
            b.iter(|| {
                swap.store(Arc::new(exits.clone()));
                black_box(swap.load_full().version)
            });
        });
        let lock = RwLock::new(Arc::new(exits.clone()));
        let read = || lock.read().expect("no writer panics").clone();
        group.bench_function("RwLock<Arc>, nothing new", |b| b.iter(|| black_box(read().version)));
        group.bench_function("RwLock<Arc>, published and taken", |b| {
            b.iter(|| {
                *lock.write().expect("no writer panics") = Arc::new(exits.clone());
                black_box(read().version)
            });
        });
    }
}

/// Rows whose sureness grows with depth; a score tells how likely the label is right.
fn window(rows: usize, ramps: usize) -> Window {
    let mut rng = fastrand::Rng::with_seed(1);
    let depths = (1..=ramps).map(|ramp| ramp as f64 / (ramps + 1) as f64).collect::<Vec<_>>();
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let difficulty = 6.0 * rng.f64();
        for depth in &depths {
            let sure = 1.0 / (1.0 + (-2.0 * (7.0 * depth + 3.0 - difficulty)).exp());
            scores.push(sure as f32);
            labels.push(u32::from(rng.f64() > sure));
        }
    }
    Window::new(depths, &scores, &labels, &vec![0; rows]).expect("drawn rows fit")
}

fn searches(criterion: &mut Criterion) {
    let window = window(512, 12);
    let mut group = criterion.benchmark_group("512 rows, 12 ramps");
    group.bench_function("replay", |b| b.iter(|| replay(black_box(&window), &[0.9; 12])));
    let budget = Budget::of(5);
    let searches: [&dyn Search; 3] = [&Exact::ONLINE, &Tethered::default(), &Greedy::default()];
    for search in searches {
        group.bench_function(search.name(), |b| {
            b.iter(|| search.search(black_box(&window), &budget));
        });
    }
}

criterion_group!(benches, snapshots, searches);
criterion_main!(benches);
