//! `preprocessor_config.json`: what is accepted makes inputs of a picture.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp::{Picture, Preprocessor};
use offramp_fuzz::{Rewritten, bounded, folder, plant, under};
use offramp_weights::ModelSpec;
use offramp_weights::image::SIDE_MAX;

/// Larger inputs are only looked at: making one takes milliseconds.
const MADE_MAX: usize = 64;

static FILES: LazyLock<(PathBuf, Rewritten)> = LazyLock::new(|| {
    let dir = folder();
    std::fs::write(dir.join("config.json"), r#"{"model_type": "resnet"}"#).expect("in memory");
    let file = Rewritten::new(&dir, "preprocessor_config.json");
    (dir, file)
});

fuzz_target!(
    init: plant(under(&["tests/data/golden-images"], "preprocessor_config.json")),
    |bytes: &[u8]| {
        let (dir, file) = &*FILES;
        file.put(bytes, 0);
        bounded(1 << 20, || read(dir));
    }
);

fn read(dir: &std::path::Path) {
    let Ok(spec) = ModelSpec::read(dir) else { return };
    let Some(input) = spec.image() else { return };
    let sides = 1..=SIDE_MAX;
    assert!(sides.contains(&input.height) && sides.contains(&input.width));
    assert!(input.mean.iter().all(|mean| mean.is_finite()));
    assert!(input.std.iter().all(|std| *std > 0.0 && std.is_finite()));
    if input.height <= MADE_MAX && input.width <= MADE_MAX {
        let picture = Picture::new([5, 7, 3], vec![9; 105]).expect("a picture");
        let made = Preprocessor::new(input).apply(&picture);
        assert_eq!(made.len(), input.height * input.width * input.channels);
    }
}
