//! Logits equal the original framework's, for every family, head and storage.

use std::path::Path;

use offramp::{AfterExit, Answer, Engine, Exits, Model, PassSettings, RowSlot};
use offramp_tests::golden_dir;
use serde::Deserialize;

use crate::machine;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    tokens: Vec<u32>,
    #[serde(default)]
    types: Vec<u16>,
    logits: Option<Vec<f32>>,
    pooled: Option<Vec<f32>>,
    mean: Option<Vec<f32>>,
}

impl Case {
    /// What the final exit must give: logits, or the features of a base model.
    fn expected(&self) -> &[f32] {
        let any = self.logits.as_ref().or(self.pooled.as_ref()).or(self.mean.as_ref());
        any.expect("a case has logits or features")
    }
}

fn read_cases(dir: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(dir.join("cases.json")).unwrap();
    serde_json::from_str::<Golden>(&text).unwrap().cases
}

/// Logits of all cases, run as one batch.
fn logits(model: &Model, cases: &[&Case]) -> Vec<Vec<f32>> {
    let mut engine = Engine::new(model, &machine::options()).unwrap();
    let mut batch = engine.batch();
    for case in cases {
        batch.push(&case.tokens, &case.types).unwrap().expect("room in the batch");
    }
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let mut answered = vec![0; cases.len()];
    engine
        .run(&batch, &settings, &mut |answer: Answer<'_>| answered[answer.slot.0 as usize] += 1)
        .unwrap();
    assert!(answered.iter().all(|&times| times == 1), "{answered:?}");
    let last = engine.plan().ramps();
    (0..cases.len() as u32).map(|slot| engine.logits(last, RowSlot(slot)).to_vec()).collect()
}

fn assert_close(name: &str, case: &Case, found: &[f32]) {
    let expected = case.expected();
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let tolerance = machine::LOGITS_ABS + machine::LOGITS_REL * largest;
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs();
        assert!(
            difference <= tolerance,
            "{name}, {} tokens: {found} instead of {expected}",
            case.tokens.len()
        );
    }
}

fn check(name: &str) {
    let dir = golden_dir().join(name);
    let model = Model::open(&dir).unwrap();
    let cases = read_cases(&dir);
    assert!(cases.len() >= 7, "{name} has {} cases", cases.len());
    let all: Vec<&Case> = cases.iter().collect();
    for (case, together) in all.iter().zip(logits(&model, &all)) {
        assert_close(name, case, &together);
        assert_eq!(logits(&model, &[case])[0], together, "{name}: alone and in company");
    }
}

macro_rules! golden {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { check($name); })*

        #[test]
        fn every_golden_model_has_a_test() {
            let mut tested = vec![$($name),*];
            tested.sort_unstable();
            let entries = std::fs::read_dir(golden_dir()).unwrap();
            let mut found: Vec<String> =
                entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            found.sort_unstable();
            assert_eq!(found, tested);
        }
    };
}

golden! {
    bert_classifier: "bert-cls",
    bert_with_gelu_new_and_one_label: "bert-cls-gelu-new",
    bert_with_relu_and_many_labels: "bert-relu-many",
    bert_with_gelu_pytorch_tanh: "bert-tanh-approx",
    bert_in_bf16: "bert-bf16",
    bert_in_f16: "bert-f16",
    bert_in_shards: "bert-sharded",
    bert_with_an_integer_buffer: "bert-with-position-ids",
    bert_without_head: "bert-base-nohead",
    bert_without_head_or_pooler: "bert-nohead-nopooler",
    roberta_classifier: "roberta-cls",
    distilbert_classifier: "distilbert-cls",
    distilbert_without_head: "distilbert-base",
}
