//! Plans as text, and the arrows between values proved for every golden model.

use offramp::plan::{check, lower};
use offramp::{Limits, Model};
use offramp_kernels::Preferences;
use offramp_tests::{golden_dir, golden_images_dir};

use crate::support::{golden, model_with_ramps};

const LIMITS: Limits = Limits { rows_max: 4, tokens_max: 64 };

#[test]
fn bert_with_ramps() {
    let model = model_with_ramps("bert-cls", 1);
    let plan = lower(model.spec(), &model.ramp_shapes(), LIMITS, Preferences::default());
    insta::assert_snapshot!(plan);
}

#[test]
fn distilbert_without_head() {
    let model = Model::open(golden_dir().join("distilbert-base")).unwrap();
    insta::assert_snapshot!(lower(model.spec(), &[], LIMITS, Preferences::default()));
}

#[test]
fn resnet_of_bottlenecks_with_ramps() {
    let model = model_with_ramps("resnet-bottleneck", 1);
    insta::assert_snapshot!(lower(
        model.spec(),
        &model.ramp_shapes(),
        LIMITS,
        Preferences::default()
    ));
}

#[test]
fn vgg_without_ramps() {
    let model = golden("vgg-bn");
    insta::assert_snapshot!(lower(model.spec(), &[], LIMITS, Preferences::default()));
}

#[test]
fn resnet_for_a_device_that_reads_channels_in_chunks() {
    let model = golden("resnet-basic");
    insta::assert_snapshot!(lower(model.spec(), &[], LIMITS, Preferences { channel_step: 8 }));
}

#[test]
fn folding_adds_no_parameters() {
    let model = golden("resnet-basic");
    let count = |channel_step| {
        let plan = lower(model.spec(), &[], LIMITS, Preferences { channel_step });
        let pairs = plan.sources.iter().zip(&plan.layout.weights);
        pairs.map(|(source, &form)| source.parameters(form)).sum::<usize>()
    };
    assert_eq!(count(8), count(1));
}

#[test]
fn every_plan_holds_what_plans_must_hold() {
    let dirs = [golden_dir(), golden_images_dir()];
    for entry in dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()) {
        let model = Model::open(entry.unwrap().path()).unwrap();
        for channel_step in [1, 8] {
            check(&lower(model.spec(), &[], LIMITS, Preferences { channel_step })).unwrap();
        }
    }
}

#[test]
fn broken_plans_are_refused() {
    let model = model_with_ramps("bert-cls", 1);
    let plan = lower(model.spec(), &model.ramp_shapes(), LIMITS, Preferences::default());
    check(&plan).unwrap();

    let mut unborn = plan.clone();
    unborn.segments[0].ops.remove(0);
    assert!(check(&unborn).unwrap_err().contains("is not whole here"));

    let mut reordered = plan.clone();
    reordered.segments[1].ops.swap(0, 1);
    assert!(check(&reordered).is_err());

    let mut misnumbered = plan.clone();
    misnumbered.last.exit.0 += 1;
    assert!(check(&misnumbered).unwrap_err().contains("not the last"));

    let mut too_small = plan;
    too_small.layout.activations -= 1;
    assert!(check(&too_small).unwrap_err().contains("does not fit"));
}
