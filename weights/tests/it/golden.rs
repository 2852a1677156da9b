//! The checkpoints that `tools/recipes/golden.py` makes, as a real library saves them.

use std::path::Path;

use offramp_weights::network::Step;
use offramp_weights::{Activation, Checkpoint, Elem, ModelSpec, resolve};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/golden");

/// Name, family, layers, classes, whether there is a pooler, element type.
type Case = (&'static str, &'static str, usize, usize, bool, Elem);

const CASES: [Case; 13] = [
    ("bert-base-nohead", "bert", 2, 0, true, Elem::F32),
    ("bert-bf16", "bert", 2, 6, true, Elem::BF16),
    ("bert-cls", "bert", 2, 6, true, Elem::F32),
    ("bert-cls-gelu-new", "bert", 2, 1, true, Elem::F32),
    ("bert-f16", "bert", 2, 6, true, Elem::F16),
    ("bert-nohead-nopooler", "bert", 2, 0, false, Elem::F32),
    ("bert-relu-many", "bert", 3, 40, true, Elem::F32),
    ("bert-sharded", "bert", 2, 6, true, Elem::F32),
    ("bert-tanh-approx", "bert", 2, 6, true, Elem::F32),
    ("bert-with-position-ids", "bert", 2, 6, true, Elem::F32),
    ("distilbert-base", "distilbert", 3, 0, false, Elem::F32),
    ("distilbert-cls", "distilbert", 3, 6, true, Elem::F32),
    ("roberta-cls", "roberta", 2, 6, true, Elem::F32),
];

fn open(name: &str) -> (ModelSpec, Checkpoint) {
    let dir = Path::new(DIR).join(name);
    let mut spec = ModelSpec::read(&dir).unwrap();
    let checkpoint = Checkpoint::open(&dir).unwrap();
    resolve(&mut spec, &checkpoint).unwrap();
    (spec, checkpoint)
}

#[test]
fn every_golden_model_resolves() {
    for (name, family, layers, classes, has_pooler, elem) in CASES {
        let (spec, checkpoint) = open(name);
        let found = (spec.name(), spec.sites(), spec.classes(), !spec.network.tail.is_empty());
        assert_eq!(found, (family, layers, classes, has_pooler), "{name}");
        assert_eq!(spec.labels.len(), classes, "{name}");
        let text = spec.text().unwrap();
        assert_eq!(
            (spec.site_width(0), text.vocab, text.row_tokens_max()),
            (32, 100, 40),
            "{name}"
        );
        let Step::Embed(embed) = &spec.network.segments[0].steps[0] else { panic!("{name}") };
        assert_eq!(checkpoint.tensor(&embed.word).unwrap().elem(), elem, "{name}");
        let ids = "bert.embeddings.position_ids";
        assert_eq!(checkpoint.get(ids).is_err(), checkpoint.has(ids), "{name}");
        for tensor in checkpoint.names() {
            let tensor = checkpoint.tensor(tensor).unwrap();
            assert_eq!(tensor.to_vec().unwrap().len(), tensor.len());
        }
    }
}

#[test]
fn no_golden_model_is_left_out() {
    let mut found: Vec<_> = std::fs::read_dir(DIR)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(DIR).join(name).join("config.json").exists())
        .collect();
    found.sort();
    assert_eq!(found, CASES.map(|case| case.0));
}

#[test]
fn activations_are_told_apart() {
    let activation = |name| open(name).0.network.inner().unwrap().activation.unwrap();
    assert_eq!(activation("bert-cls"), Activation::GeluErf);
    assert_eq!(activation("bert-cls-gelu-new"), Activation::GeluTanh);
    assert_eq!(activation("bert-tanh-approx"), Activation::GeluTanh);
    assert_eq!(activation("bert-relu-many"), Activation::Relu);
}

#[test]
fn every_model_has_its_own_hash() {
    let mut hashes: Vec<_> = CASES.iter().map(|case| open(case.0).1.hash()).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), CASES.len());
}
