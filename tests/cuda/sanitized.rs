//! The tests that a sanitizer runs on a real GPU, in a few minutes and one by one, launch every
//! kernel that ships.

use std::collections::BTreeSet;

use offramp::{AfterExit, Exits};
use offramp_kernels::cuda::{Elem, ShippedKernel, gpus, shipped_kernels};
use offramp_tests::root;
use offramp_tests::suite::{
    Check, attention, compact, images, linear, narrow, norm, patches, ramp, staged, taken_norms,
};

use crate::support::{Bench, golden, random_rows};
use crate::{alone, machine};

/// By the names they have in the suite.
const SANITIZED: [(&str, fn()); 20] = [
    ("ops::f16::embed", || f16(norm::embed)),
    ("ops::f16::norm", || f16(norm::norm)),
    ("ops::f16::linear_residuals", || f16(linear::residuals)),
    ("ops::wide::linear_residuals", || wide(linear::residuals)),
    ("ops::broad::linear_residuals", || broad(linear::residuals)),
    ("ops::f16::taken_norms_chains", || f16(taken_norms::chains)),
    ("ops::broad::taken_norms_chains", || broad(taken_norms::chains)),
    ("ops::f16::attention", || f16(attention::lengths)),
    ("ops::f16::ramp_windows", || f16(ramp::windows)),
    ("ops::f16::compact_keeps_ops_right", || f16(compact::ops_after)),
    ("ops::f16::narrow_first_tokens", || f16(narrow::first_tokens)),
    ("ops::f16::conv2d_large", || f16(images::large)),
    ("ops::f16::conv2d_residuals", || f16(images::residuals)),
    ("ops::wide::conv2d_large", || wide(images::large)),
    ("ops::f16::pool2d_nan", || f16(images::pool_nan)),
    ("ops::f16::pixels", || f16(images::pixels)),
    ("ops::f16::patches", || f16(patches::tokens)),
    ("ops::f16::staged_for_the_next_pass", || f16(staged::next_pass)),
    ("golden::bert_classifier", || forward("bert-cls")),
    ("golden_images::resnet_of_bottlenecks", || forward("resnet-bottleneck")),
];

fn f16(check: Check) {
    machine::suite(machine::f16).run(check);
}

fn wide(check: Check) {
    machine::suite(machine::wide).run(check);
}

fn broad(check: Check) {
    machine::suite(machine::broad).run(check);
}

fn forward(name: &str) {
    let model = golden(name);
    let mut bench = Bench::new(&model, 1);
    let exits = Exits::off(bench.engine.plan());
    bench.run(&random_rows(2, &model, 1), &exits, AfterExit::Release);
}

#[test]
fn what_a_sanitizer_runs_launches_every_kernel() {
    let Some((_alone, driver)) = alone() else { return };
    let listed = std::fs::read_to_string(root().join("benches/gpu/sanitized.txt")).unwrap();
    let names: Vec<_> = SANITIZED.iter().map(|(name, ..)| *name).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), names);
    driver.reset();
    for (_, run) in SANITIZED {
        run();
    }
    let launches: serde_json::Value = serde_json::from_str(&driver.launches()).unwrap();
    let kernels = launches.as_array().unwrap().iter();
    let launched: BTreeSet<_> = kernels.map(|kernel| kernel["kernel"].as_str().unwrap()).collect();
    // A card whose blocks have less shared memory does without these tiles.
    let room = gpus().unwrap()[0].block_shared_bytes;
    let is_launched = |kernel: &ShippedKernel| {
        kernel.entry != "linear_broad" || kernel.shared_bytes_max as usize <= room
    };
    let shipped = shipped_kernels(Elem::F16).filter(is_launched).map(|kernel| kernel.entry);
    assert_eq!(launched, shipped.collect());
}
