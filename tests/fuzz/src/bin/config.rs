//! `config.json` of texts and of images: what is accepted has bounded sizes that fit together.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant, under};
use offramp_weights::image::Preprocessing;
use offramp_weights::network::{Attention, Step};
use offramp_weights::spec::{CLASSES_MAX, HIDDEN_MAX, LAYERS_MAX};
use offramp_weights::{Input, ModelSpec};

/// What a few bytes may ask for at most: 65,536 classes that nobody named.
const HELD_MAX: usize = 16 << 20;

fuzz_target!(
    init: plant(under(
        &["tools/models", "tests/data/golden", "tests/data/golden-images"],
        "config.json"
    )),
    |bytes: &[u8]| bounded(HELD_MAX, || {
        match ModelSpec::parse(bytes, Path::new("config.json")) {
            Ok(spec) => check(&spec),
            Err(error) => assert!(error.to_string().starts_with("config.json: ")),
        }
    })
);

fn check(spec: &ModelSpec) {
    assert!((1..=LAYERS_MAX).contains(&spec.sites()));
    assert!((1..=CLASSES_MAX).contains(&spec.classes()));
    assert_eq!(spec.labels.len(), spec.classes());
    spec.network.leaves().for_each(check_step);
    match &spec.input {
        Input::Tokens(text) => assert!(text.vocab > 0 && text.row_tokens_max() > 0),
        Input::Pixels(input) => check_image(spec, input),
    }
}

fn check_step(step: &Step) {
    match step {
        Step::Attention(Attention { heads, width }) => {
            assert!((1..=HIDDEN_MAX).contains(width));
            assert!(*heads > 0 && width.is_multiple_of(*heads));
        }
        Step::Linear(linear) => assert!(linear.inputs > 0 && linear.outputs > 0),
        Step::Norm(norm) => assert!(norm.eps > 0.0 && norm.eps < 1.0),
        Step::Conv(conv) => assert!(conv.inputs > 0 && conv.outputs > 0),
        _ => {}
    }
}

/// A picture of the size that it asks for must come out at its end.
fn check_image(spec: &ModelSpec, input: &Preprocessing) {
    assert!(input.height > 0 && input.width > 0 && matches!(input.channels, 1 | 3));
    assert_eq!((input.mean.len(), input.std.len()), (input.channels, input.channels));
    assert!(input.std.iter().all(|std| *std > 0.0 && std.is_finite()));
    let network = &spec.network;
    let mut steps = network.segments.iter().flat_map(|segment| &segment.steps).chain(&network.tail);
    let map = steps.try_fold((input.height, input.width), |map, step| step.map(map));
    assert!(map.is_some_and(|(height, width)| height > 0 && width > 0));
}
