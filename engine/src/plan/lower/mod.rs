//! Spec to plan.

mod image;
mod text;

use offramp_kernels::{
    Activation, ArenaLayout, Decision, Hidden, Pool, Preferences, Ramp, RampHead, WeightForm,
};
use offramp_weights::ModelSpec;

use super::weights::{WeightSource, WeightTable};
use super::{Plan, Segment};
use crate::rules::Limits;
use crate::scores;

/// The shape of a ramp, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RampShape {
    /// After this encoder layer or segment.
    pub site: usize,
    /// How it pools.
    pub pool: Pool,
    /// Width and activation of a hidden layer.
    pub hidden: Option<(usize, Activation)>,
    /// Number of classes; without a head the ramp gives out its features.
    pub classes: Option<usize>,
}

/// Compiles `spec` with `ramps` (by rising site, none at the last) for batches within `limits` on
/// a device that prefers what `prefers` says.
/// Numbers are the same answer within [`Decision::TOLERANCE`]; [`Plan::tolerate`] changes that.
pub fn lower(spec: &ModelSpec, ramps: &[RampShape], limits: Limits, prefers: Preferences) -> Plan {
    match spec {
        ModelSpec::Text(spec) => text::lower(spec, ramps, limits, prefers),
        ModelSpec::Image(spec) => image::lower(spec, ramps, limits, prefers),
    }
}

/// What every exit of a model decides.
fn decision(task: offramp_weights::Task) -> Decision {
    scores::decision(task, Decision::TOLERANCE)
}

/// The layers of the ramp with index `exit` in the bundle, over features `width` wide.
fn ramp_layers(
    weights: &mut WeightTable,
    exit: usize,
    shape: &RampShape,
    (width, decision): (usize, Decision),
) -> (Option<Hidden>, Option<RampHead>) {
    let matrix = |n, k| WeightForm::Matrix { n, k };
    let vector = |len| WeightForm::Vector { len };
    let hidden = shape.hidden.map(|(n, activation)| {
        let weight = weights.add(matrix(n, width), WeightSource::RampHidden(exit));
        let bias = weights.add(vector(n), WeightSource::RampHiddenBias(exit));
        Hidden { weight, bias, activation, n }
    });
    let features = hidden.as_ref().map_or(width, |h| h.n);
    let head = shape.classes.map(|classes| {
        let weight = weights.add(matrix(classes, features), WeightSource::RampHead(exit));
        let bias = weights.add(vector(classes), WeightSource::RampHeadBias(exit));
        RampHead { weight, bias, classes, decision }
    });
    (hidden, head)
}

/// What the exits of a plan ask of a layout.
fn layout(segments: &[Segment], last: &Ramp) -> ArenaLayout {
    let mut layout = ArenaLayout::default();
    for ramp in segments.iter().filter_map(Segment::ramp).chain([last]) {
        layout.exits += 1;
        layout.logits_max = layout.logits_max.max(ramp.logits());
        layout.features_max = layout.features_max.max(ramp.features()).max(ramp.width);
    }
    layout
}

/// The kernel's name for a spec's activation.
pub(crate) fn activation(activation: offramp_weights::Activation) -> Activation {
    match activation {
        offramp_weights::Activation::GeluErf => Activation::GeluErf,
        offramp_weights::Activation::GeluTanh => Activation::GeluTanh,
        offramp_weights::Activation::Relu => Activation::Relu,
        offramp_weights::Activation::Tanh => Activation::Tanh,
        offramp_weights::Activation::Silu => Activation::Silu,
    }
}
