//! `thresholds.json`: what is accepted is written and read the same again.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp_fuzz::{Rewritten, bounded, folder, is_drawn, plant, under};
use offramp_weights::thresholds::OFF;
use offramp_weights::{FittedOn, ThresholdFile};

struct State {
    fitted: Vec<FittedOn>,
    given: Rewritten,
    written: PathBuf,
}

fn shipped() -> Vec<Vec<u8>> {
    under(&["tools/models"], "thresholds.json")
}

static STATE: LazyLock<State> = LazyLock::new(|| {
    let dir = folder();
    let parse = |file: &Vec<u8>| serde_json::from_slice::<ThresholdFile>(file).expect("shipped");
    State {
        fitted: shipped().iter().map(|file| parse(file).fitted_on).collect(),
        given: Rewritten::new(&dir, "thresholds.json"),
        written: dir.join("written"),
    }
});

fuzz_target!(
    init: plant(shipped()),
    |bytes: &[u8]| {
        STATE.given.put(bytes, 0);
        for on in &STATE.fitted {
            let read = |path: &Path| ThresholdFile::read(path, &on.model, &on.ramps);
            let most = 2 * bytes.len() + (1 << 20);
            let Ok(file) = bounded(most, || read(STATE.given.path())) else { continue };
            let sane = |threshold: f32| (0.0..=1.0).contains(&threshold) || threshold == OFF;
            assert!(file.thresholds.iter().all(|at| sane(at.threshold)));
            if !is_drawn(bytes, 4) {
                continue;
            }
            file.write(&STATE.written).expect("what was read can be written");
            assert_eq!(read(&STATE.written).expect("what was written can be read"), file);
        }
    }
);
