//! Every model, pass after pass: with single launches at first, then with graphs.

use offramp::{Exits, Score};
use offramp_tests::{golden_dir, golden_images_dir};

use crate::machine;
use crate::repeat::{Repeated, repeat};
use crate::support::{Bench, golden, model_with_ramps, random_rows};

/// Rows of a pass.
fn counts() -> &'static [usize] {
    if machine::is_real() { &[1, 3, 8, 17, 40] } else { &[3] }
}

/// All golden models; a few of them on the interpreter, which takes its time.
fn names() -> Vec<String> {
    if !machine::is_real() {
        return ["bert-relu-many", "roberta-cls", "resnet-cifar"].map(str::to_owned).to_vec();
    }
    let folders = [golden_dir(), golden_images_dir()];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_pass_of_a_shape_gives_the_same_bits() {
    for name in &names() {
        let has_head = golden(name).spec().classes() > 0;
        let model = if has_head { model_with_ramps(name, 5) } else { golden(name) };
        let mut bench = Bench::new(&model, 1);
        for &count in counts() {
            let rows = random_rows(count, &model, 5);
            let off = Exits::off(bench.engine.plan());
            repeat(&mut bench, &Repeated { name, rows: &rows, exits: &off }, |_| ());
            let exits = bench.exits(Score::Confidence, 0.4);
            repeat(&mut bench, &Repeated { name, rows: &rows, exits: &exits }, |_| ());
        }
    }
}
