//! Exits.

use offramp_kernels::{
    Activation, Decision, ExitId, ExitRecord, ExitWindow, Hidden, Pool, Ramp, RampHead, RowSlot,
    RowTokens, Score, Span, WeightForm,
};

use super::{Stage, Start, Suite};
use crate::reference;

const FINAL: ExitId = ExitId(3);
const NEVER: [f32; 4] = [2.0; 4];

/// Rows of one token whose features are the logits: the head is the identity.
struct Direct {
    stage: Stage,
    x: Span,
    ramp: Ramp,
    rows: usize,
    classes: usize,
}

impl Direct {
    fn new(suite: &Suite, rows: usize, classes: usize) -> Self {
        Self::deciding(suite, rows, classes, Decision::Class)
    }

    fn deciding(suite: &Suite, rows: usize, classes: usize, decision: Decision) -> Self {
        let mut start = Start::new(&vec![1; rows]);
        let identity = (0..classes * classes)
            .map(|i| if i / classes == i % classes { 1.0 } else { 0.0 })
            .collect();
        let weight = start.weight(WeightForm::Matrix { n: classes, k: classes }, identity);
        let bias = start.weight(WeightForm::Vector { len: classes }, vec![0.0; classes]);
        let x = start.span(classes);
        let head = Some(RampHead { weight, bias, classes, decision });
        let (exit, pool) = (ExitId(0), Pool::First);
        let ramp = Ramp {
            exit,
            x,
            tokens: RowTokens::Own,
            width: classes,
            norm: None,
            pool,
            hidden: None,
            head,
        };
        Self { stage: start.device(suite), x, ramp, rows, classes }
    }

    fn begin(&mut self, score: Score, thresholds: &[f32]) {
        self.stage.begin(score, thresholds, &(0..self.rows).collect::<Vec<_>>());
    }

    /// Runs an exit on logits, row by row.
    fn exit(&mut self, exit: ExitId, logits: &[f32]) -> Vec<ExitRecord> {
        assert_eq!(logits.len(), self.rows * self.classes);
        self.stage.write(self.x, logits);
        self.stage.issue(Ramp { exit, ..self.ramp.clone() });
        self.stage.exits()
    }
}

/// Every pool, with and without a hidden layer and a head: logits, labels, records.
pub fn forms(suite: &Suite) {
    for (lens, width, classes) in
        [(vec![1], 5, 2), (vec![3, 1, 31], 100, 33), (vec![9; 17], 384, 7)]
    {
        for pool in [Pool::First, Pool::Mean, Pool::Last] {
            for hidden in [None, Some((Activation::Tanh, 31)), Some((Activation::GeluErf, width))] {
                check_form(suite, &lens, width, classes, pool, hidden);
            }
        }
    }
}

fn check_form(
    suite: &Suite,
    lens: &[usize],
    width: usize,
    classes: usize,
    pool: Pool,
    hidden: Option<(Activation, usize)>,
) {
    let mut start = Start::new(lens);
    let hidden = hidden.map(|(activation, n)| Hidden {
        weight: start.matrix(n, width),
        bias: start.vector(n),
        activation,
        n,
    });
    let features = hidden.as_ref().map_or(width, |hidden| hidden.n);
    let (weight, bias) = (start.matrix(classes, features), start.vector(classes));
    let head = Some(RampHead { weight, bias, classes, decision: Decision::Class });
    let x = start.span(width);
    let mut stage = start.begin(suite);
    let values: Vec<f64> = stage.fill(x, width).into_iter().map(f64::from).collect();
    stage.issue(Ramp {
        exit: ExitId(1),
        x,
        tokens: RowTokens::Own,
        width,
        norm: None,
        pool,
        hidden: hidden.clone(),
        head,
    });
    let mut vectors = reference::pool(&values, lens, width, pool);
    if let Some(Hidden { weight, bias, activation, .. }) = hidden {
        let (weight, bias) = (stage.weight(weight), stage.weight(bias));
        vectors = reference::linear(&vectors, weight, bias, width, activation);
    }
    let (weight, bias) = (stage.weight(weight), stage.weight(bias));
    let logits = reference::linear(&vectors, weight, bias, features, Activation::None);
    let records = stage.exits();
    assert_eq!(records.len(), lens.len());
    for (slot, (record, logits)) in records.iter().zip(logits.chunks(classes)).enumerate() {
        assert_eq!((record.slot, record.exit, record.flags), (slot as u32, 1, 0));
        let found = stage.device.logits(ExitId(1), RowSlot(slot as u32));
        suite.tolerance.check("logits", found, logits);
        assert_eq!(record.label, reference::label(logits), "label of {logits:?}");
    }
    assert!(stage.device.logits(ExitId(0), RowSlot(0)).is_empty(), "exit 0 said nothing");
}

/// Each score that needs no history.
pub fn scores(suite: &Suite) {
    for classes in [2, 3, 17, 33] {
        for score in [Score::Confidence, Score::Entropy, Score::Margin] {
            let rows = 9;
            let mut direct = Direct::new(suite, rows, classes);
            direct.begin(score, &NEVER);
            let logits: Vec<f32> = super::stage::uneven(&mut direct.stage.random, rows * classes)
                .into_iter()
                .enumerate()
                .map(|(i, v)| v * (1 << (i / classes % 4)) as f32)
                .collect();
            for (record, logits) in
                direct.exit(ExitId(0), &logits).iter().zip(logits.chunks(classes))
            {
                let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
                let expected = reference::score(&logits, score, 0);
                let difference = (f64::from(record.score) - expected).abs();
                assert!(difference <= 2e-6, "{score:?} {} for {expected}", record.score);
                assert!((0.0..=1.0).contains(&record.score));
            }
        }
    }
    saturated(suite);
}

/// Logits so far apart that the others' probabilities vanish.
fn saturated(suite: &Suite) {
    for score in [Score::Confidence, Score::Entropy, Score::Margin] {
        let mut direct = Direct::new(suite, 2, 3);
        direct.begin(score, &NEVER);
        let records = direct.exit(ExitId(0), &[500.0, -500.0, 0.0, -6e4, 6e4, 0.0]);
        assert!(
            records.iter().all(|r| (r.score - 1.0).abs() < 1e-6 && r.flags == 0),
            "{records:?}"
        );
    }
}

/// A sigmoid each: the set that is decided, and each score over the sets of labels.
pub fn labels(suite: &Suite) {
    for labels in [1, 2, 4, 31, 32, 33] {
        for score in [Score::Confidence, Score::Entropy, Score::Margin] {
            let rows = 9;
            let mut direct = Direct::deciding(suite, rows, labels, Decision::Labels);
            direct.begin(score, &NEVER);
            let logits: Vec<f32> = super::stage::uneven(&mut direct.stage.random, rows * labels)
                .into_iter()
                .enumerate()
                .map(|(i, v)| v * (1 << (i / labels % 4)) as f32)
                .collect();
            let records = direct.exit(ExitId(0), &logits);
            for (record, logits) in records.iter().zip(logits.chunks(labels)) {
                assert_eq!(record.label, Decision::Labels.of(logits), "set of {logits:?}");
                let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
                let expected = reference::score_each(&logits, score, 0);
                let difference = (f64::from(record.score) - expected).abs();
                assert!(difference <= 4e-6, "{score:?} {} for {expected}", record.score);
                assert!((0.0..=1.0).contains(&record.score));
            }
        }
    }
    far_labels(suite);
}

/// Logits so large that the other side of every label vanishes, and one label that is a toss-up.
fn far_labels(suite: &Suite) {
    for (score, unsure) in
        [(Score::Confidence, 0.5), (Score::Entropy, 2.0 / 3.0), (Score::Margin, 0.0)]
    {
        let mut direct = Direct::deciding(suite, 2, 3, Decision::Labels);
        direct.begin(score, &NEVER);
        let records = direct.exit(ExitId(0), &[500.0, -500.0, 6e4, -6e4, 6e4, 0.0]);
        let near = |found: f32, expected: f32| (found - expected).abs() < 1e-6;
        assert!(near(records[0].score, 1.0) && near(records[1].score, unsure), "{records:?}");
        assert_eq!((records[0].label, records[1].label), (0b101, 0b010));
        assert!(records.iter().all(ExitRecord::is_finite));
    }
}

/// One number: its bits are the decision, and it is surer the flatter its sigmoid.
pub fn values(suite: &Suite) {
    let logits = [0.0, 2.4976, -2.6605, 30.0, -1e4, 0.001];
    for score in [Score::Confidence, Score::Entropy] {
        let value = Decision::Value { tolerance: 0.02 };
        let mut direct = Direct::deciding(suite, logits.len(), 1, value);
        direct.begin(score, &NEVER);
        let records = direct.exit(ExitId(0), &logits);
        for (record, logit) in records.iter().zip(logits) {
            // Storage may have rounded it.
            let found = direct.stage.device.logits(ExitId(0), RowSlot(record.slot))[0];
            assert!((found - logit).abs() <= 2e-3 * logit.abs());
            assert_eq!(record.label, found.to_bits());
            let expected = reference::score_each(&[f64::from(found)], score, 0);
            assert!((f64::from(record.score) - expected).abs() <= 2e-6, "{score:?} of {logit}");
        }
        assert!(records[3].score > records[1].score && records[1].score > records[0].score);
    }
}

/// The streak of a number goes on while each is within the tolerance of the one before; that of
/// labels while the whole set is the same.
pub fn patience_of_each(suite: &Suite) {
    let value = Decision::Value { tolerance: 0.02 };
    let mut direct = Direct::deciding(suite, 2, 1, value);
    direct.begin(Score::Patience { k: 4 }, &NEVER);
    // 0.0625 moves a sigmoid near one half by 0.0156, 0.125 by 0.031.
    let mut scores = Vec::new();
    for (exit, values) in
        [(0, [1.0, 0.0]), (1, [1.0, 0.0625]), (2, [1.0, 0.125]), (3, [1.25, 0.25])]
    {
        let records = direct.exit(ExitId(exit), &values);
        scores.push([records[0].score, records[1].score]);
    }
    assert_eq!(scores, [[0.25, 0.25], [0.5, 0.5], [0.75, 0.75], [0.25, 0.25]]);
    let mut direct = Direct::deciding(suite, 1, 2, Decision::Labels);
    direct.begin(Score::Patience { k: 2 }, &NEVER);
    let sets = [[1.0, 1.0], [2.0, 0.5], [2.0, -0.5], [1.0, f32::NAN]];
    let scores: Vec<f32> =
        (0..).zip(sets).map(|(exit, set)| direct.exit(ExitId(exit), &set)[0].score).collect();
    assert_eq!(scores, [0.5, 1.0, 0.5, 0.0]);
}

/// The streak counts successive ramps with one label and starts anew with another.
pub fn patience(suite: &Suite) {
    let mut direct = Direct::new(suite, 2, 2);
    direct.begin(Score::Patience { k: 2 }, &[1.0; 4]);
    let (no, yes) = ([1.0, 0.0], [0.0, 1.0]);
    let mut scores = Vec::new();
    let mut answers = Vec::new();
    for (exit, labels) in [(0, [no, yes]), (1, [yes, yes]), (2, [yes, no]), (3, [yes, no])] {
        let records = direct.exit(ExitId(exit), labels.as_flattened());
        scores.push([records[0].score, records[1].score]);
        answers.push([records[0].answers(), records[1].answers()]);
    }
    assert_eq!(scores, [[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [1.0, 1.0]]);
    assert_eq!(answers, [[false, false], [false, true], [true, false], [false, false]]);
}

/// Ramps that were left out neither feed a streak nor break it; a new pass has none.
pub fn patience_by_issue(suite: &Suite) {
    let mut direct = Direct::new(suite, 1, 2);
    for _ in 0..2 {
        direct.begin(Score::Patience { k: 4 }, &NEVER);
        assert_eq!(direct.exit(ExitId(0), &[0.0, 1.0])[0].score, 0.25);
        assert_eq!(direct.exit(ExitId(2), &[0.0, 1.0])[0].score, 0.5);
    }
    direct.begin(Score::Patience { k: 4 }, &NEVER);
    direct.exit(ExitId(0), &[0.0, 1.0]);
    assert_eq!(direct.exit(ExitId(1), &[0.0, f32::NAN])[0].score, 0.0);
    assert_eq!(direct.exit(ExitId(2), &[0.0, 1.0])[0].score, 0.25, "NaN breaks a streak");
}

/// Equal logits: the lowest class wins.
pub fn ties(suite: &Suite) {
    let mut direct = Direct::new(suite, 3, 3);
    direct.begin(Score::Margin, &NEVER);
    let logits = [2.0, 2.0, 2.0, 0.0, 1.0, 1.0, -1.0, -2.0, -1.0];
    let records = direct.exit(ExitId(0), &logits);
    assert_eq!(records.iter().map(|r| r.label).collect::<Vec<_>>(), [0, 1, 0]);
    assert!(records.iter().all(|r| r.score == 0.0), "no margin on a tie");
}

/// One class is sure by definition.
pub fn one_class(suite: &Suite) {
    for score in [Score::Confidence, Score::Entropy, Score::Margin] {
        let mut direct = Direct::new(suite, 1, 1);
        direct.begin(score, &[1.0; 4]);
        let record = direct.exit(ExitId(0), &[-3.0])[0];
        assert_eq!((record.label, record.score, record.answers()), (0, 1.0, true));
    }
}

/// A row with a NaN or infinite logit is flagged and leaves only at the final exit.
pub fn not_finite(suite: &Suite) {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for score in [Score::Confidence, Score::Entropy, Score::Margin, Score::Patience { k: 1 }] {
            let mut direct = Direct::new(suite, 2, 3);
            direct.begin(score, &[0.0; 4]);
            let logits = [0.0, bad, 1.0, 0.0, 1.0, 2.0];
            let records = direct.exit(ExitId(0), &logits);
            assert_eq!((records[0].score, records[0].flags), (0.0, ExitRecord::NOT_FINITE));
            assert_eq!(records[1].flags, ExitRecord::ANSWERS);
            let records = direct.exit(FINAL, &logits);
            assert_eq!(records[0].flags, ExitRecord::NOT_FINITE | ExitRecord::ANSWERS);
            assert!(records[0].label < 3);
        }
    }
}

/// `score >= threshold`, equality included; 2.0 lets nobody out but at the final exit.
pub fn thresholds(suite: &Suite) {
    let mut direct = Direct::new(suite, 1, 2);
    direct.begin(Score::Confidence, &NEVER);
    let logits = [0.3, 1.1];
    let score = direct.exit(ExitId(0), &logits)[0].score;
    let above = f32::from_bits(score.to_bits() + 1);
    for (threshold, exits) in [(0.0, true), (score, true), (above, false), (2.0, false)] {
        direct.begin(Score::Confidence, &[threshold, 2.0, 2.0, 2.0]);
        assert_eq!(direct.exit(ExitId(0), &logits)[0].answers(), exits, "{score} >= {threshold}");
        assert_eq!(direct.exit(FINAL, &logits)[0].answers(), !exits, "final after {threshold}");
    }
    direct.begin(Score::Confidence, &[f32::NAN; 4]);
    assert!(!direct.exit(ExitId(0), &logits)[0].answers(), "NaN as a threshold lets nobody out");
}

/// A window bars a row from early exits and lets it out at its last, unless it is not finite.
pub fn windows(suite: &Suite) {
    let window = |first, last| ExitWindow { first, last };
    let any = ExitWindow::ANY;
    let windows = [any, window(1, 9), window(2, 9), window(0, 1), window(1, 1), window(0, 0)];
    let rows = windows.len();
    for (threshold, expected) in [(0.0, [0, 1, 2, 0, 1, 3]), (2.0, [3, 3, 3, 1, 1, 3])] {
        let mut direct = Direct::new(suite, rows, 2);
        direct.stage.begin_within(Score::Confidence, &[threshold; 4], &windows);
        let mut logits = vec![1.0; rows * 2];
        logits[rows * 2 - 1] = f32::NAN;
        let mut answers = vec![u32::MAX; rows];
        for exit in 0..4 {
            for record in direct.exit(ExitId(exit), &logits) {
                if record.answers() {
                    answers[record.slot as usize] = exit;
                }
            }
        }
        assert_eq!(answers, expected, "threshold {threshold}");
    }
}

/// Every row is answered exactly once, and later exits still report on it.
pub fn answers_once(suite: &Suite) {
    let rows = 40;
    let mut direct = Direct::new(suite, rows, 3);
    direct.begin(Score::Confidence, &[0.7, 0.6, 0.5, 0.0]);
    let mut answers = vec![0; rows];
    for exit in 0..4 {
        let logits = super::stage::uneven(&mut direct.stage.random, rows * 3);
        let records = direct.exit(ExitId(exit), &logits);
        assert_eq!(records.len(), rows);
        for record in records.iter().filter(|record| record.answers()) {
            answers[record.slot as usize] += 1;
        }
    }
    assert_eq!(answers, vec![1; rows]);
}

/// Without a head the features are the logits, and only the final exit answers.
pub fn headless(suite: &Suite) {
    let (lens, width) = ([2, 3], 40);
    let mut start = Start::new(&lens);
    let x = start.span(width);
    let mut stage = start.device(suite);
    stage.begin(Score::Confidence, &[0.0; 4], &[]);
    let values: Vec<f64> = stage.fill(x, width).into_iter().map(f64::from).collect();
    for exit in [ExitId(0), FINAL] {
        stage.issue(Ramp {
            exit,
            x,
            tokens: RowTokens::Own,
            width,
            norm: None,
            pool: Pool::Mean,
            hidden: None,
            head: None,
        });
        for record in stage.exits() {
            assert_eq!((record.label, record.score), (0, 0.0));
            assert_eq!(record.answers(), exit == FINAL);
        }
    }
    let expected = reference::pool(&values, &lens, width, Pool::Mean);
    for (slot, expected) in (0..).zip(expected.chunks(width)) {
        suite.tolerance.check("features", stage.device.logits(FINAL, RowSlot(slot)), expected);
    }
}
