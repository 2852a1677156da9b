//! Ramps on problems with a known answer.

use super::*;
use crate::network::log_sum_exp;

struct Case {
    width: usize,
    classes: usize,
    x: Vec<f32>,
    targets: Vec<f32>,
    decision: Decision,
}

impl Case {
    /// Rows of noise with the softmax of `teacher(row)` as targets.
    fn new(
        rows: usize,
        width: usize,
        classes: usize,
        seed: u64,
        teacher: impl Fn(&[f32]) -> Vec<f32>,
    ) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let x: Vec<f32> = (0..rows * width).map(|_| 2.0 * rng.f32() - 1.0).collect();
        let targets = x.chunks(width).flat_map(|row| softmax(&teacher(row))).collect();
        Self { width, classes, x, targets, decision: Decision::Class }
    }

    /// A linear teacher with sharp answers.
    fn linear(rows: usize, width: usize, classes: usize, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed + 1000);
        let w: Vec<f32> = (0..classes * width).map(|_| 2.0 * rng.f32() - 1.0).collect();
        let logit = move |w: &[f32], x: &[f32]| w.iter().zip(x).map(|(w, x)| 8.0 * w * x).sum();
        Self::new(rows, width, classes, seed, move |x| {
            w.chunks(width).map(|w| logit(w, x)).collect()
        })
    }

    /// A linear teacher whose logits each have a sigmoid.
    fn each(rows: usize, width: usize, classes: usize, decision: Decision) -> Self {
        let mut case = Self::linear(rows, width, classes, 21);
        let mut rng = fastrand::Rng::with_seed(77);
        let w: Vec<f32> = (0..classes * width).map(|_| 2.0 * rng.f32() - 1.0).collect();
        let logit = |w: &[f32], x: &[f32]| w.iter().zip(x).map(|(w, x)| 2.0 * w * x).sum();
        let logits = |x: &[f32]| w.chunks(width).map(|w| logit(w, x)).collect::<Vec<f32>>();
        case.targets = case.x.chunks(width).flat_map(logits).map(sigmoid).collect();
        Self { decision, ..case }
    }

    fn rows(&self) -> u32 {
        (self.x.len() / self.width) as u32
    }

    fn train(&self, settings: &Settings) -> Trained {
        self.try_train(&Split::shuffled(self.rows(), 0.25, 9), settings).unwrap()
    }

    fn try_train(&self, split: &Split, settings: &Settings) -> Result<Trained, TrainError> {
        let features = Features { width: self.width, values: &self.x };
        let targets = Targets {
            classes: self.classes,
            probabilities: &self.targets,
            decision: self.decision,
        };
        train(features, targets, split, settings, &mut |_| ())
    }
}

fn softmax(x: &[f32]) -> Vec<f32> {
    let norm = log_sum_exp(x);
    x.iter().map(|x| (x - norm).exp()).collect()
}

/// Plain loops over the layers as a server would run them.
fn serve(ramp: &Trained, x: &[f32]) -> Vec<f32> {
    let dense = |layer: &Layer, x: &[f32]| -> Vec<f32> {
        let weights = layer.weight.chunks(layer.inputs).zip(&layer.bias);
        weights.map(|(w, b)| b + w.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect()
    };
    let hidden = ramp.hidden.as_ref().map(|layer| dense(layer, x));
    let relu = hidden.map(|x| x.into_iter().map(|x| x.max(0.0)).collect::<Vec<_>>());
    dense(&ramp.head, relu.as_deref().unwrap_or(x))
}

#[test]
fn imitates_a_linear_teacher() {
    let ramp = Case::linear(2000, 24, 5, 1).train(&Settings::default());
    assert!(ramp.agreement > 0.97, "{}", ramp.agreement);
    assert!(ramp.hidden.is_none() && ramp.head.outputs == 5 && ramp.head.inputs == 24);
}

#[test]
fn imitates_labels_that_do_not_exclude_each_other() {
    let case = Case::each(2000, 12, 4, Decision::Labels);
    let ramp = case.train(&Settings::default());
    assert!(ramp.agreement > 0.9, "{}", ramp.agreement);
    // Several hold at once, or none: a softmax could not say that.
    let sets: Vec<usize> =
        case.targets.chunks(4).map(|row| row.iter().filter(|p| **p > 0.5).count()).collect();
    assert!(sets.contains(&0) && sets.contains(&3));
}

#[test]
fn imitates_a_number_within_the_tolerance_of_its_sigmoid() {
    let case = Case::each(2000, 12, 1, Decision::Value { tolerance: 0.02 });
    let ramp = case.train(&Settings::default());
    assert!(ramp.agreement > 0.95, "{}", ramp.agreement);
    assert_eq!((ramp.temperature, ramp.head.outputs), (1.0, 1));
    let strict = Case { decision: Decision::Value { tolerance: 1e-6 }, ..case };
    assert!(strict.train(&Settings::default()).agreement < ramp.agreement);
}

#[test]
fn sigmoids_above_one_are_refused() {
    let mut case = Case::each(40, 3, 2, Decision::Labels);
    case.targets[2 * 5 + 1] = 1.5;
    let split = Split::shuffled(40, 0.25, 1);
    let error = case.try_train(&split, &Settings::default()).unwrap_err();
    assert_eq!(error, TrainError::NotProbabilities { row: 5, why: "one is above 1" });
}

#[test]
fn copes_with_few_rows() {
    let ramp = Case::linear(160, 8, 2, 2).train(&Settings::default());
    assert!(ramp.agreement >= 0.9, "{}", ramp.agreement);
}

#[test]
fn a_hidden_layer_solves_what_a_line_cannot() {
    let case = Case::new(1500, 6, 2, 3, |x| vec![20.0 * x[0] * x[1], 0.0]);
    let line = case.train(&Settings::default());
    let hidden = Settings { hidden: Some(32), learning_rate: Some(1e-2), ..Settings::default() };
    let mlp = case.train(&hidden);
    assert!(line.agreement < 0.7, "line {}", line.agreement);
    assert!(mlp.agreement > 0.93, "mlp {}", mlp.agreement);
}

#[test]
fn returned_layers_score_raw_features() {
    for hidden in [None, Some(16)] {
        let case = Case::linear(600, 12, 3, 4);
        let split = Split::shuffled(600, 0.25, 9);
        let ramp = case.try_train(&split, &Settings { hidden, ..Settings::default() }).unwrap();
        let (mut agreed, mut loss) = (0, 0.0);
        for &row in &split.held_out {
            let logits = serve(&ramp, &case.x[row as usize * 12..][..12]);
            let target = &case.targets[row as usize * 3..][..3];
            agreed += usize::from(argmax(&logits) == argmax(target));
            loss += Loss::Softmax.sum(&logits, target, 3);
        }
        assert_eq!(agreed as f64 / 150.0, ramp.agreement);
        assert!((loss / 150.0 - ramp.loss).abs() < 1e-4, "{} {}", loss / 150.0, ramp.loss);
    }
}

#[test]
fn scale_and_offset_of_features_do_not_matter() {
    let plain = Case::linear(800, 16, 4, 5);
    let x = plain.x.iter().map(|x| 1e4 + 1e3 * x).collect();
    let moved = Case { x, targets: plain.targets.clone(), ..plain };
    let (a, b) = (plain.train(&Settings::default()), moved.train(&Settings::default()));
    assert!((a.agreement - b.agreement).abs() <= 0.01, "{} {}", a.agreement, b.agreement);
    assert!((a.loss - b.loss).abs() < 0.01, "{} {}", a.loss, b.loss);
    for row in 0..50 {
        let a = softmax(&serve(&a, &plain.x[row * 16..][..16]));
        let b = softmax(&serve(&b, &moved.x[row * 16..][..16]));
        a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 0.02, "{a} {b}"));
    }
}

#[test]
fn dead_features_get_no_weight() {
    let mut case = Case::linear(400, 6, 3, 6);
    case.x.iter_mut().skip(2).step_by(6).for_each(|x| *x = 123.0);
    let ramp = case.train(&Settings::default());
    assert!(ramp.head.weight.iter().skip(2).step_by(6).all(|&w| w == 0.0));
    assert!(ramp.head.weight.iter().step_by(6).all(|&w| w != 0.0));
}

#[test]
fn an_over_confident_ramp_is_cooled() {
    // One-hot targets that 40 noise features can memorise: far too sure on rows not seen.
    let mut rng = fastrand::Rng::with_seed(7);
    let mut case = Case::linear(240, 40, 2, 7);
    for row in case.targets.chunks_mut(2) {
        let first = (row[0] > 0.5) != (rng.f32() < 0.25);
        row.copy_from_slice(if first { &[1.0, 0.0] } else { &[0.0, 1.0] });
    }
    let settings = Settings {
        learning_rate: Some(0.1),
        epochs_max: 200,
        patience_epochs: 200,
        weight_decays: vec![0.0],
        ..Settings::default()
    };
    // Held-out loss would stop at a sober epoch: judged on rows of its own the fit runs hot.
    let hot = Network::new(40, None, 2, &mut rng);
    let all: Vec<u32> = (0..240).collect();
    let (x, y) = (
        Features { width: 40, values: &case.x },
        Targets { classes: 2, probabilities: &case.targets, decision: Decision::Class },
    );
    let standardiser = Standardiser::measure(&case.x, 40, &all[..120]);
    let learn = Part::new(x, y, &all[..120], &standardiser);
    let judge = Part::new(x, y, &all[120..], &standardiser);
    let mut learner = Learner { network: hot, ..Learner::new(&learn, &settings) };
    for _ in 0..200 {
        learner.epoch(&learn, 0.0);
    }
    let run = Run { network: learner.network, loss: 0.0, epoch: 200, decay: 0.0 };
    let before = judge.judge(&run.network.logits(&judge.x, 120));
    let ramp = finish(run, &judge, x, &all[120..], &standardiser);
    assert!(ramp.temperature > 1.5, "{}", ramp.temperature);
    assert!(ramp.loss < before.0, "{} {}", ramp.loss, before.0);
    assert_eq!(ramp.agreement, before.1, "temperature must not change labels");
}

#[test]
fn keeps_the_best_epoch_and_stops_when_patience_ends() {
    let case = Case::linear(300, 30, 3, 8);
    let mut seen = Vec::new();
    let settings = Settings {
        learning_rate: Some(0.3),
        epochs_max: 100,
        patience_epochs: 3,
        weight_decays: vec![0.0, 10.0],
        ..Settings::default()
    };
    let ramp = train(
        Features { width: 30, values: &case.x },
        Targets { classes: 3, probabilities: &case.targets, decision: Decision::Class },
        &Split::shuffled(300, 0.3, 1),
        &settings,
        &mut |epoch| seen.push(epoch),
    );
    let ramp = ramp.unwrap();
    let best = seen.iter().min_by(|a, b| a.loss_held_out.total_cmp(&b.loss_held_out)).unwrap();
    assert_eq!((ramp.epochs, ramp.weight_decay), (best.number, best.weight_decay));
    assert!(ramp.loss <= best.loss_held_out + 0.02, "{} {best:?}", ramp.loss);
    for decay in [0.0, 10.0] {
        let run: Vec<&Epoch> = seen.iter().filter(|e| e.weight_decay == decay).collect();
        let best = run.iter().min_by(|a, b| a.loss_held_out.total_cmp(&b.loss_held_out)).unwrap();
        assert!(run.len() == 100 || run.len() == best.number + 3, "{} {best:?}", run.len());
    }
}

#[test]
fn same_seed_same_ramp() {
    let case = Case::linear(200, 10, 3, 10);
    let settings = |seed| Settings { hidden: Some(8), epochs_max: 5, seed, ..Settings::default() };
    assert_eq!(case.train(&settings(1)), case.train(&settings(1)));
    assert_ne!(case.train(&settings(1)), case.train(&settings(2)));
}

#[test]
fn unfit_input_is_refused_by_name() {
    let case = || Case::linear(40, 3, 2, 11);
    let split = Split::shuffled(40, 0.25, 1);
    let refused = |case: &Case, split: &Split, settings: Settings| {
        case.try_train(split, &settings).unwrap_err()
    };
    let mut nan = case();
    nan.x[3 * 17 + 2] = f32::NAN;
    let error = refused(&nan, &split, Settings::default());
    assert!(matches!(error, TrainError::FeatureNotFinite { row: 17, feature: 2, .. }), "{error}");
    let mut logits = case();
    logits.targets[2 * 5] = -3.0;
    let error = refused(&logits, &split, Settings::default());
    assert!(matches!(error, TrainError::NotProbabilities { row: 5, .. }), "{error}");
    logits.targets[2 * 5] = 3.0;
    let error = refused(&logits, &split, Settings::default());
    assert!(matches!(error, TrainError::NotProbabilities { row: 5, .. }), "{error}");
    let mut short = case();
    short.targets.pop();
    let error = refused(&short, &split, Settings::default());
    assert_eq!(
        error,
        TrainError::Size { what: "number of probabilities", found: 79, expected: 80 }
    );
    let lone = Split { train: vec![0, 1, 2], held_out: vec![3] };
    let error = refused(&case(), &lone, Settings::default());
    assert_eq!(error, TrainError::TooFewRows { part: "held-out", rows: 1 });
    for (row, train) in [(40, vec![0, 40]), (3, vec![0, 3])] {
        let error = refused(&case(), &Split { train, held_out: vec![3, 4] }, Settings::default());
        assert!(matches!(error, TrainError::SplitRow { row: r, .. } if r == row), "{error}");
    }
    for (settings, field) in [
        (Settings { hidden: Some(0), ..Settings::default() }, "hidden"),
        (Settings { batch_rows: 0, ..Settings::default() }, "batch_rows"),
        (Settings { learning_rate: Some(f32::NAN), ..Settings::default() }, "learning_rate"),
        (Settings { weight_decays: vec![-1.0], ..Settings::default() }, "weight_decays"),
    ] {
        let error = refused(&case(), &split, settings);
        assert!(matches!(error, TrainError::Setting { name, .. } if name == field), "{error}");
    }
}

#[test]
fn a_run_that_overflows_is_an_error() {
    let settings = Settings { learning_rate: Some(1e38), hidden: Some(4), ..Settings::default() };
    let split = Split::shuffled(40, 0.25, 1);
    let error = Case::linear(40, 3, 2, 12).try_train(&split, &settings).unwrap_err();
    assert_eq!(error, TrainError::Diverged { learning_rate: 1e38 });
}

/// Run in release: `cargo test --release -p offramp -- --ignored speed`.
#[test]
#[ignore = "a timing"]
#[expect(clippy::print_stdout, reason = "the figures are the point")]
fn speed_of_training() {
    let case = Case::linear(5000, 384, 6, 13);
    for (hidden, decays) in [(None, 1), (None, 3), (Some(64), 1)] {
        let settings = Settings {
            hidden,
            epochs_max: 40,
            patience_epochs: 40,
            weight_decays: vec![0.3; decays],
            ..Settings::default()
        };
        let start = std::time::Instant::now();
        let ramp = case.train(&settings);
        let took = start.elapsed();
        println!("{hidden:?} hidden, {decays} decays: {took:?}, agreement {}", ramp.agreement);
    }
}
