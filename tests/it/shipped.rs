//! The shipped model does what its card says, on the inputs that nothing was tuned on.

use offramp::{AfterExit, Answer, Engine, Exits, Model, PassSettings, TokenRow};
use offramp_tests::shipped_dir;
use offramp_tune::clopper_pearson_upper;

use crate::machine;

/// Encoded test questions with the name of their class.
pub(crate) fn questions(model: &Model) -> Vec<(TokenRow, String)> {
    let tokenizer = model.tokenizer().unwrap();
    let questions = offramp_tests::questions().into_iter();
    questions.map(|(text, label)| (tokenizer.encode(&text, None).unwrap(), label)).collect()
}

/// Labels and depths of all rows, in order.
fn run(
    engine: &mut Engine,
    rows: &[(TokenRow, String)],
    settings: &PassSettings<'_>,
) -> Vec<(u32, f64)> {
    let mut answers = Vec::new();
    for rows in rows.chunks(32) {
        let mut batch = engine.batch();
        for (row, _) in rows {
            batch.push(&row.ids, &row.kinds).unwrap().unwrap();
        }
        let from = answers.len();
        answers.resize(from + rows.len(), (u32::MAX, f64::NAN));
        let mut sink = |answer: Answer<'_>| {
            answers[from + answer.row] = (answer.label, answer.depth);
        };
        engine.run(&batch, settings, &mut sink).unwrap();
    }
    answers
}

#[test]
fn agreement_depth_and_accuracy_are_as_promised() {
    let model = Model::open(shipped_dir()).unwrap();
    let rows = questions(&model);
    let mut engine = Engine::new(&model, &machine::options()).unwrap();
    let off = Exits::off(engine.plan());
    let full = run(&mut engine, &rows, &PassSettings::new(&off, AfterExit::Release));
    let exits = Exits::from_file(engine.plan(), model.thresholds().unwrap()).unwrap();
    let early = run(&mut engine, &rows, &PassSettings::new(&exits, AfterExit::Compact));

    let count = rows.len() as f64;
    let right =
        rows.iter().zip(&full).filter(|((_, name), (label, _))| model.label(*label) == name);
    let accuracy = right.count() as f64 / count;
    assert!(accuracy >= 0.85, "accuracy {accuracy}");

    let errors = full.iter().zip(&early).filter(|(full, early)| full.0 != early.0).count() as u64;
    let bound = clopper_pearson_upper(errors, rows.len() as u64, 0.95);
    assert!(bound <= 0.01, "{errors} disagreements: up to {bound}");

    let depth = early.iter().map(|(_, depth)| depth).sum::<f64>() / count;
    assert!(depth <= 0.3, "mean depth {depth}");
    assert!(full.iter().all(|(_, depth)| *depth == 1.0));
}

#[test]
fn files_are_as_small_as_they_should_be() {
    let bytes = std::fs::metadata(shipped_dir().join("model.safetensors")).unwrap().len();
    assert!(bytes <= 6_000_000, "{bytes}");
}

#[test]
fn long_text_is_cut_and_keeps_its_frame() {
    let model = Model::open(shipped_dir()).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    let short = tokenizer.encode("who", None).unwrap().ids;
    let (first, last) = (short[0], short[short.len() - 1]);
    let long = tokenizer.encode(&"who painted it ".repeat(500), None).unwrap().ids;
    assert_eq!(long.len(), model.row_tokens_max());
    assert_eq!((long[0], long[long.len() - 1]), (first, last), "[CLS] and [SEP] stay");
    let pair = tokenizer.encode(&"who ".repeat(500), Some(&"is it ".repeat(500))).unwrap();
    assert_eq!(pair.ids.len(), model.row_tokens_max());
    assert!(pair.kinds.contains(&0) && pair.kinds.contains(&1));
}
