//! Logits equal the original framework's, for every family, head and storage.

use std::path::Path;

use offramp::{AfterExit, Answer, Engine, Exits, Model, PassSettings, Row, RowSlot, TokenRow};
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
    fn row(&self) -> Row {
        TokenRow { ids: self.tokens.clone(), kinds: self.types.clone() }.into()
    }

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

/// Logits of all rows, run as one batch to the end; every row is answered once.
pub(crate) fn logits(model: &Model, rows: &[Row]) -> Vec<Vec<f32>> {
    let mut engine = Engine::new(model, &machine::options()).unwrap();
    let mut batch = engine.batch();
    for row in rows {
        batch.push_row(row).unwrap().expect("room in the batch");
    }
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let mut answered = vec![0; rows.len()];
    engine.run(&batch, &settings, &mut |answer: Answer<'_>| answered[answer.row] += 1).unwrap();
    assert!(answered.iter().all(|&times| times == 1), "{answered:?}");
    let last = engine.plan().ramps();
    (0..rows.len() as u32).map(|slot| engine.logits(last, RowSlot(slot)).to_vec()).collect()
}

/// Panics unless all of `found` are within `rel` of the largest number expected.
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32], rel: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let tolerance = machine::LOGITS_ABS + rel * largest;
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs();
        assert!(difference <= tolerance, "{what}: {found} instead of {expected}");
    }
}

fn check(name: &str) {
    let dir = golden_dir().join(name);
    let model = Model::open(&dir).unwrap();
    let cases = read_cases(&dir);
    assert!(cases.len() >= 7, "{name} has {} cases", cases.len());
    let rows: Vec<Row> = cases.iter().map(Case::row).collect();
    for ((case, row), together) in cases.iter().zip(&rows).zip(logits(&model, &rows)) {
        let what = format!("{name}, {} tokens", case.tokens.len());
        assert_close(&what, &together, case.expected(), machine::LOGITS_REL);
        let alone = logits(&model, std::slice::from_ref(row));
        assert_eq!(alone[0], together, "{name}: alone and in company");
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
