//! The shipped model says on a GPU what it says on the CPU.

use offramp::{AfterExit, Answer, DeviceChoice, Engine, EngineOptions, Exits, Model, PassSettings};
use offramp_tests::root;

use crate::machine;

/// Questions to ask; every one of them on a real GPU.
fn count() -> usize {
    if machine::is_real() { usize::MAX } else { 48 }
}

struct Said {
    label: u32,
    depth: f64,
    logits: Vec<f32>,
}

fn ask(model: &Model, options: &EngineOptions, exits: bool) -> Vec<Said> {
    let mut engine = Engine::new(model, options).unwrap();
    let exits = match exits {
        true => Exits::from_file(engine.plan(), model.thresholds().unwrap()).unwrap(),
        false => Exits::off(engine.plan()),
    };
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let tokenizer = model.tokenizer().unwrap();
    let path = root().join("tools/models/trec-questions/test.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let questions: Vec<_> = text.lines().take(count()).collect();
    let mut said = Vec::new();
    for questions in questions.chunks(16) {
        let mut batch = engine.batch();
        for line in questions {
            let input: serde_json::Value = serde_json::from_str(line).unwrap();
            let row = tokenizer.encode(input["text"].as_str().unwrap(), None).unwrap();
            batch.push(&row.ids, &row.kinds).unwrap().unwrap();
        }
        let mut answers: Vec<Option<Said>> = questions.iter().map(|_| None).collect();
        let mut sink = |answer: Answer<'_>| {
            let Answer { label, depth, logits, .. } = answer;
            let said = Said { label, depth, logits: logits.to_vec() };
            assert!(answers[answer.row].replace(said).is_none(), "answered twice");
        };
        engine.run(&batch, &settings, &mut sink).unwrap();
        said.extend(answers.into_iter().map(Option::unwrap));
    }
    said
}

/// Same label wherever the margin between the two best logits exceeds the tolerance.
#[test]
fn full_and_early_answers_equal_the_cpus() {
    let model = Model::open(root().join("tools/models/trec-questions")).unwrap();
    let cpu = EngineOptions { device: DeviceChoice::Cpu, ..machine::options() };
    for exits in [false, true] {
        let expected = ask(&model, &cpu, exits);
        let found = ask(&model, &machine::options(), exits);
        assert_eq!(found.len(), expected.len());
        let mut early = 0;
        for (found, expected) in found.iter().zip(&expected) {
            early += usize::from(found.depth < 1.0);
            if found.depth == expected.depth {
                check(found, expected);
            }
        }
        let moved = found.iter().zip(&expected).filter(|(f, e)| f.depth != e.depth).count();
        assert!(moved * 50 <= expected.len(), "{moved} rows left elsewhere");
        assert_eq!(early > 0, exits, "{early} early answers");
    }
}

fn check(found: &Said, expected: &Said) {
    let largest = expected.logits.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let tolerance = machine::LOGITS_REL.max(1e-4) * largest;
    for (found, expected) in found.logits.iter().zip(&expected.logits) {
        let difference = (found - expected).abs();
        assert!(difference <= tolerance, "{found} instead of {expected}, largest {largest}");
    }
    let mut sorted = expected.logits.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    if sorted[0] - sorted[1] > 2.0 * tolerance {
        assert_eq!(found.label, expected.label);
    }
}
