//! What a model computes: one list of steps with the names of their tensors, cut where ramps may
//! stand.
//!
//! Texts and images differ in what comes first, tokens or pixels; the steps are the same few. The
//! engine walks the list: it knows no family and no architecture.

mod conv;
mod encoder;
mod step;

pub use conv::{Conv, Filter};
pub(crate) use conv::{NORM_PARTS, windows};
pub(crate) use encoder::{Encoder, LayerNames, NormPlace};
pub use step::{Attention, Embed, Linear, Norm, Patches, Residual, Step, TensorForm};

use crate::spec::Pool;

/// All steps of a model, and its classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// In the order they run; a ramp may stand behind each but the last.
    pub segments: Vec<Segment>,
    /// Steps between the last segment and the classifier.
    pub tail: Vec<Step>,
    /// The classifier.
    pub head: Head,
}

/// Steps up to a place where one value crosses.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// For people: `layer1.0`, `features.4`.
    pub name: String,
    /// In the order they run.
    pub steps: Vec<Step>,
}

/// What makes logits of what the tail leaves.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// What one vector of a row is made of. Where it is the first token, no other is needed behind
    /// the last attention.
    pub pool: Pool,
    /// Without one a model gives out what was pooled.
    pub classifier: Option<Linear>,
}

impl Network {
    /// All steps in the order they run, each with the name of its segment.
    pub(crate) fn steps(&self) -> impl Iterator<Item = (&str, &Step)> {
        let body = self
            .segments
            .iter()
            .flat_map(|segment| segment.steps.iter().map(|step| (segment.name.as_str(), step)));
        body.chain(self.tail.iter().map(|step| ("the classifier", step)))
    }

    /// The same without the frames of residuals: what is in their bodies, then what is around.
    pub fn leaves(&self) -> impl Iterator<Item = &Step> {
        self.steps().flat_map(|(_, step)| step.leaves())
    }

    pub(crate) fn leaves_mut(&mut self) -> impl Iterator<Item = &mut Step> {
        let body = self.segments.iter_mut().flat_map(|segment| &mut segment.steps);
        body.chain(&mut self.tail).flat_map(Step::leaves_mut)
    }

    /// All convolutions in the order they run; a residual's body, then its shortcut.
    pub fn convs(&self) -> impl Iterator<Item = &Conv> {
        self.leaves().filter_map(|step| match step {
            Step::Conv(conv) => Some(conv),
            _ => None,
        })
    }

    pub(crate) fn convs_mut(&mut self) -> impl Iterator<Item = &mut Conv> {
        self.leaves_mut().filter_map(|step| match step {
            Step::Conv(conv) => Some(conv),
            _ => None,
        })
    }

    /// Every tensor that it reads.
    pub fn tensors(&self) -> impl Iterator<Item = TensorForm> {
        let classifier = self.head.classifier.iter().flat_map(Linear::tensors);
        self.leaves().flat_map(Step::tensors).chain(classifier)
    }

    /// Rows of the classifier; 0 when there is none.
    pub fn classes(&self) -> usize {
        self.head.classifier.as_ref().map_or(0, |classifier| classifier.outputs)
    }

    /// The heads of its first attention, where it has one.
    pub fn attention_heads(&self) -> Option<usize> {
        self.leaves().find_map(|step| match step {
            Step::Attention(attention) => Some(attention.heads),
            _ => None,
        })
    }

    /// Tokens of an image, where it becomes a row of them.
    pub fn image_tokens(&self) -> Option<usize> {
        self.leaves().find_map(|step| match step {
            Step::Patches(patches) => Some(patches.tokens),
            _ => None,
        })
    }

    /// Its first product with an activation: the inner layer of the first feed-forward block.
    pub fn inner(&self) -> Option<&Linear> {
        self.leaves().find_map(|step| match step {
            Step::Linear(linear) if linear.activation.is_some() => Some(linear),
            _ => None,
        })
    }
}

impl Segment {
    /// Elements of a vector, or channels, that it ends with; 0 where it keeps them.
    pub fn width(&self) -> usize {
        self.steps.iter().rev().find_map(Step::outputs).unwrap_or(0)
    }
}
