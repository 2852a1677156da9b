//! Exits and the sites they stand at, and what a device must reserve.

use offramp_kernels::{
    Activation, ArenaLayout, Compact, Decision, ExitId, Hidden, Pool, Ramp, RampHead, WeightForm,
};
use offramp_weights::Input;

use super::{Lowering, Value};
use crate::plan::arena::{Places, place};
use crate::plan::weights::WeightSource;
use crate::plan::{Plan, Segment, Site};
use crate::scores;

/// The shape of a ramp, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RampShape {
    /// After this segment.
    pub site: usize,
    /// How it pools.
    pub pool: Pool,
    /// Width and activation of a hidden layer.
    pub hidden: Option<(usize, Activation)>,
    /// Number of classes; without a head the ramp gives out its features.
    pub classes: Option<usize>,
}

impl Lowering<'_> {
    /// The site behind segment `index`, which `x` crosses.
    pub(super) fn site(&mut self, index: usize, ramps: &[RampShape], x: &Value) -> Site {
        let exit = ramps.iter().position(|ramp| ramp.site == index);
        let ramp = exit.map(|exit| self.ramp(exit, &ramps[exit], x));
        let compact = Compact { x: x.span, tokens: x.tokens(), width: x.width };
        Site { ramp, compact }
    }

    fn ramp(&mut self, exit: usize, shape: &RampShape, x: &Value) -> Ramp {
        let (hidden, head) = self.ramp_layers(exit, shape, x.width);
        Ramp { pool: shape.pool, hidden, head, ..self.exit(ExitId(exit as u32), x) }
    }

    /// The layers of the ramp with index `exit` in the bundle, over features `width` wide.
    fn ramp_layers(
        &mut self,
        exit: usize,
        shape: &RampShape,
        width: usize,
    ) -> (Option<Hidden>, Option<RampHead>) {
        let matrix = |n, k| WeightForm::Matrix { n, k };
        let vector = |len| WeightForm::Vector { len };
        let decision = self.decision();
        let weights = &mut self.weights;
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

    /// The model's own classifier; a model without one gives out its features.
    pub(super) fn last(&mut self, exit: ExitId, x: &Value) -> Ramp {
        let model = &self.spec.network.head;
        let decision = self.decision();
        let head = model.classifier.as_ref().map(|classifier| {
            let (weight, bias) = self.weights.linear(classifier, None);
            RampHead { weight, bias, classes: classifier.outputs, decision }
        });
        Ramp { pool: pool(model.pool), head, ..self.exit(exit, x) }
    }

    /// An exit that looks at `x`, and says nothing yet.
    fn exit(&self, exit: ExitId, x: &Value) -> Ramp {
        let (tokens, width, norm) = (x.tokens(), x.width, x.normalised());
        let pool = Pool::Mean;
        Ramp { exit, x: x.span, tokens, width, norm, pool, hidden: None, head: None }
    }

    fn decision(&self) -> Decision {
        scores::decision(self.spec.task(), Decision::TOLERANCE)
    }

    pub(super) fn finish(self, mut segments: Vec<Segment>, mut last: Ramp) -> Plan {
        let Places { activations, resident } = place(&mut segments, &mut last);
        let image_tokens = self.spec.network.image_tokens().unwrap_or(0);
        let (row_tokens_max, row_pixels) = match &self.spec.input {
            Input::Tokens(text) => (text.row_tokens_max().min(self.limits.tokens_max), 0),
            Input::Pixels(image) => {
                (image_tokens.max(1), image.height * image.width * image.channels)
            }
        };
        let mut layout = ArenaLayout {
            rows_max: self.limits.rows_max,
            tokens_max: self.limits.tokens_max,
            row_tokens_max,
            row_pixels,
            image_tokens,
            activations,
            resident,
            moments: if self.takes_norms { vec![last.width; 2] } else { Vec::new() },
            weights: self.weights.forms,
            ..ArenaLayout::default()
        };
        for ramp in segments.iter().filter_map(Segment::ramp).chain([&last]) {
            layout.exits += 1;
            layout.logits_max = layout.logits_max.max(ramp.logits());
            layout.features_max = layout.features_max.max(ramp.features()).max(ramp.width);
        }
        Plan { segments, last, layout, sources: self.weights.sources }
    }
}

/// The kernel's name for a pool.
pub(crate) fn pool(pool: offramp_weights::Pool) -> Pool {
    match pool {
        offramp_weights::Pool::First => Pool::First,
        offramp_weights::Pool::Mean => Pool::Mean,
        offramp_weights::Pool::Last => Pool::Last,
    }
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
