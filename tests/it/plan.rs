//! Plans as text, and the arrows between values proved for every golden model.

use offramp::plan::{Plan, RampShape, WeightSource, check, lower};
use offramp::{Limits, Model};
use offramp_kernels::{MomentsId, Op, Preferences, Span};
use offramp_tests::{golden_dir, golden_images_dir};
use offramp_weights::network::{Residual, Step};

use crate::support::{golden, model_with_ramps};

const LIMITS: Limits = Limits { rows_max: 4, tokens_max: 64 };
/// What a device prefers whose kernels are those for CUDA.
const FOR_CUDA: Preferences = Preferences { channel_step: 8, takes_norms: true };

fn plan_of(model: &Model, ramps: &[RampShape], prefers: Preferences) -> Plan {
    lower(model.spec(), ramps, LIMITS, prefers).unwrap()
}

#[test]
fn bert_with_ramps() {
    let model = model_with_ramps("bert-cls", 1);
    let plan = plan_of(&model, &model.ramp_shapes(), Preferences::default());
    insta::assert_snapshot!(plan);
}

#[test]
fn bert_for_a_device_that_takes_norms_over() {
    let model = model_with_ramps("bert-cls", 1);
    insta::assert_snapshot!(plan_of(&model, &model.ramp_shapes(), FOR_CUDA));
}

/// The blocks of a stage write over their input, so one value crosses all their sites.
#[test]
fn the_blocks_of_a_stage_share_one_resident() {
    let model = golden("resnet-basic");
    let plan = plan_of(&model, &[], Preferences::default());
    let mut crossing: Vec<Span> = plan
        .segments
        .iter()
        .filter_map(|segment| segment.site.as_ref())
        .map(|site| site.compact.x)
        .collect();
    crossing.dedup();
    assert_eq!(crossing, plan.layout.resident);
    assert!(crossing.len() < plan.segments.len() - 1, "{plan}");
}

/// Norms that are ops are gone, and what a product reads is what its weight is folded for.
#[test]
fn a_plan_that_takes_norms_over_is_proved_too() {
    let model = model_with_ramps("bert-cls", 1);
    let plan = plan_of(&model, &model.ramp_shapes(), FOR_CUDA);
    let ops = || plan.segments.iter().flat_map(|segment| &segment.ops);
    assert!(ops().all(|op| !matches!(op, Op::Norm(_))));
    check(&plan).unwrap();

    let mut unread = plan.clone();
    let Op::Linear(up) = &mut unread.segments[0].ops[4] else { panic!("{plan}") };
    up.norms.x = None;
    assert!(check(&unread).unwrap_err().contains("a weight bound for another x"));

    let mut rebound = plan.clone();
    let Op::Linear(up) = &rebound.segments[0].ops[4] else { panic!("{plan}") };
    rebound.sources[up.weight.0] = WeightSource::Values(Vec::new());
    assert!(check(&rebound).unwrap_err().contains("a weight bound for another x"));

    let mut swapped = plan.clone();
    let Op::Linear(up) = &mut swapped.segments[0].ops[4] else { panic!("{plan}") };
    up.norms.x.as_mut().unwrap().moments = MomentsId(1);
    assert!(check(&swapped).unwrap_err().contains("other moments than its own"));

    let mut moving = plan.clone();
    moving.layout.resident.clear();
    assert!(check(&moving).unwrap_err().contains("has moments, and is not resident"));

    let mut plain = plan.clone();
    plain.segments[0].site.as_mut().unwrap().ramp.as_mut().unwrap().norm = None;
    assert!(check(&plain).unwrap_err().contains("other moments than its own"));
}

#[test]
fn distilbert_without_head() {
    let model = Model::open(golden_dir().join("distilbert-base")).unwrap();
    insta::assert_snapshot!(plan_of(&model, &[], Preferences::default()));
}

#[test]
fn resnet_of_bottlenecks_with_ramps() {
    let model = model_with_ramps("resnet-bottleneck", 1);
    insta::assert_snapshot!(plan_of(&model, &model.ramp_shapes(), Preferences::default()));
}

#[test]
fn vgg_without_ramps() {
    let model = golden("vgg-bn");
    insta::assert_snapshot!(plan_of(&model, &[], Preferences::default()));
}

#[test]
fn resnet_for_a_device_that_reads_channels_in_chunks() {
    let model = golden("resnet-basic");
    insta::assert_snapshot!(plan_of(&model, &[], FOR_CUDA));
}

#[test]
fn a_vision_transformer_with_ramps() {
    let model = model_with_ramps("deit-hf", 1);
    insta::assert_snapshot!(plan_of(&model, &model.ramp_shapes(), FOR_CUDA));
}

#[test]
fn folding_adds_no_parameters() {
    let model = golden("resnet-basic");
    let count = |channel_step| {
        let plan = plan_of(&model, &[], Preferences { channel_step, takes_norms: false });
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
        for prefers in [Preferences::default(), FOR_CUDA] {
            check(&plan_of(&model, &[], prefers)).unwrap();
        }
    }
}

#[test]
fn broken_plans_are_refused() {
    let model = model_with_ramps("bert-cls", 1);
    let plan = plan_of(&model, &model.ramp_shapes(), Preferences::default());
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

    let mut parked_nowhere = plan.clone();
    parked_nowhere.layout.resident.clear();
    assert!(check(&parked_nowhere).unwrap_err().contains("is not resident"));

    let mut shared = plan.clone();
    let up = Span { at: plan.layout.resident[0].end(), len: 32 };
    shared.layout.resident.push(up);
    assert!(check(&shared).unwrap_err().contains("lies over a resident"));

    let mut too_small = plan;
    too_small.layout.activations -= 1;
    assert!(check(&too_small).unwrap_err().contains("does not fit"));
}

/// The kernel that takes pixels over writes them as they came, wherever the rows have their places.
#[test]
fn pixels_are_no_resident() {
    let mut plan = plan_of(&golden("vgg-bn"), &[], Preferences::default());
    let Op::Pixels(pixels) = &plan.segments[0].ops[0] else { panic!("{plan}") };
    plan.layout.resident.push(pixels.out);
    assert!(check(&plan).unwrap_err().contains("pixels are written as they came"));
}

/// Its sum would be written over what the outer one still adds.
#[test]
fn a_residual_within_a_residual_is_refused() {
    let mut spec = golden("resnet-basic").spec().clone();
    let mut sums = spec.network.segments.iter_mut().flat_map(|segment| &mut segment.steps);
    let Some(Step::Residual(outer)) = sums.find(|step| matches!(step, Step::Residual(_))) else {
        panic!("a network without a sum")
    };
    let inner = Residual { body: outer.body.clone(), shortcut: None, relu: false };
    outer.body.insert(0, Step::Residual(inner));
    let refused = lower(&spec, &[], LIMITS, Preferences::default()).unwrap_err();
    assert!(refused.ends_with("has a residual within a residual"), "{refused}");
}
