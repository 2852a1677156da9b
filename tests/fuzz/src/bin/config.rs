//! `config.json` of texts and of images: what is accepted has bounded sizes that fit together.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{bounded, plant, under};
use offramp_weights::image::ImageSpec;
use offramp_weights::spec::{CLASSES_MAX, HIDDEN_MAX, LAYERS_MAX};
use offramp_weights::{ModelSpec, TextSpec};

/// What a few bytes may ask for at most: 65,536 classes that nobody named.
const HELD_MAX: usize = 16 << 20;

fuzz_target!(
    init: plant(under(
        &["tools/models", "tests/data/golden", "tests/data/golden-images"],
        "config.json"
    )),
    |bytes: &[u8]| bounded(HELD_MAX, || {
        match ModelSpec::parse(bytes, Path::new("config.json")) {
            Ok(ModelSpec::Text(spec)) => check_text(&spec),
            Ok(ModelSpec::Image(spec)) => check_image(&spec),
            Err(error) => assert!(error.to_string().starts_with("config.json: ")),
        }
    })
);

fn check_text(spec: &TextSpec) {
    assert!((1..=LAYERS_MAX).contains(&spec.layers));
    assert!((1..=HIDDEN_MAX).contains(&spec.hidden));
    assert!(spec.heads > 0 && spec.hidden.is_multiple_of(spec.heads));
    assert!(spec.intermediate > 0 && spec.vocab > 0 && spec.row_tokens_max() > 0);
    assert!(spec.norm_eps > 0.0 && spec.norm_eps < 1.0);
    assert!(spec.labels.len() <= CLASSES_MAX);
}

/// A picture of the size that it asks for must come out at its end.
fn check_image(spec: &ImageSpec) {
    let input = &spec.preprocessing;
    assert!(input.height > 0 && input.width > 0 && matches!(input.channels, 1 | 3));
    assert_eq!((input.mean.len(), input.std.len()), (input.channels, input.channels));
    assert!(input.std.iter().all(|std| *std > 0.0 && std.is_finite()));
    let mut steps = spec.segments.iter().flat_map(|segment| &segment.steps).chain(&spec.tail);
    let map = steps.try_fold((input.height, input.width), |map, step| step.map(map));
    assert!(map.is_some_and(|(height, width)| height > 0 && width > 0));
    assert!(spec.convs().all(|conv| conv.inputs > 0 && conv.outputs > 0));
    assert!((1..=CLASSES_MAX).contains(&spec.head.classes));
    assert_eq!(spec.labels.len(), spec.head.classes);
}
