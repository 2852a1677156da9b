//! Ramp bundles: what is accepted fits its model, and is written and read the same again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{Rewritten, bounded, folder, header, is_drawn, plant, tree, with_data};
use offramp_weights::{
    Activation, Dense, ModelHash, ModelSpec, Pool, Ramp, RampBundle, ThresholdFile, TrainingNotes,
};

const MODELS: [&str; 2] = ["tools/models/trec-questions", "tools/models/fashion-mnist"];

struct State {
    models: Vec<(ModelSpec, ModelHash)>,
    given: Rewritten,
    written: std::path::PathBuf,
}

static STATE: LazyLock<State> = LazyLock::new(|| {
    let dir = folder();
    let given = Rewritten::new(&dir, "ramps.safetensors");
    State { models: MODELS.map(model).into(), given, written: dir.join("written") }
});

/// A shipped model, and the hash that its thresholds name.
fn model(dir: &str) -> (ModelSpec, ModelHash) {
    let spec = ModelSpec::read(&tree(dir)).expect("a shipped model");
    let file = std::fs::read(tree(dir).join("thresholds.json")).expect("it has thresholds");
    let file: ThresholdFile = serde_json::from_slice(&file).expect("thresholds");
    (spec, file.fitted_on.model)
}

/// The shipped bundles, and one with a hidden layer.
fn seeds() -> Vec<Vec<u8>> {
    let (spec, model) = &STATE.models[0];
    let dense = |outputs: usize, inputs: usize| {
        let weight = vec![0.0; outputs * inputs];
        Dense { outputs, inputs, weight, bias: vec![0.0; outputs] }
    };
    let hidden = Some((dense(8, spec.site_width(0)), Activation::Relu));
    let ramp = Ramp { site: 0, pool: Pool::First, hidden, head: dense(spec.classes(), 8) };
    let shipped = MODELS.map(|model| tree(model).join("ramps.safetensors"));
    let mut bundle = RampBundle::read(&shipped[0], spec, model).expect("a shipped bundle");
    (bundle.ramps, bundle.trained) = (vec![ramp], TrainingNotes::default());
    let path = folder().join("seed");
    bundle.write(&path).expect("it fits");
    let files = shipped.iter().chain([&path]).map(|file| std::fs::read(file).expect("a bundle"));
    files
        .map(|file| {
            let length = u64::from_le_bytes(*file.first_chunk().expect("a length")) as usize;
            let (head, data) = file.split_at(8 + length);
            // As a header of all its tensors would be, but with the bytes as they were written.
            assert_eq!(header(&file, usize::MAX / 2).1, data.len());
            [head, &(data.len() as u16).to_le_bytes()].concat()
        })
        .collect()
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| {
        let Some((head, data)) = with_data(bytes) else { return };
        STATE.given.put(head, data);
        for (spec, model) in &STATE.models {
            let read = |path| RampBundle::read(path, spec, model);
            let most = 2 * (head.len() + data) + (1 << 20);
            let Ok(bundle) = bounded(most, || read(STATE.given.path())) else { continue };
            assert!(bundle.ramps.iter().all(|ramp| ramp.width() == spec.site_width(ramp.site)));
            if !is_drawn(bytes, 4) {
                continue;
            }
            bundle.write(&STATE.written).expect("what was read can be written");
            let again = read(&STATE.written).expect("what was written can be read");
            assert_eq!((&again, again.hash()), (&bundle, bundle.hash()));
        }
    }
);
