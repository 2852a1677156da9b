//! Where the weights of a plan come from.

use offramp_kernels::{Fold, WeightForm, WeightId};
use offramp_weights::Part;
use offramp_weights::image::Conv;

/// The origin of one weight. [`crate::model::bind`] follows it.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightSource {
    /// Tensors of the checkpoint, stacked by rows.
    Checkpoint {
        /// Encoder layer, where the parts belong to one.
        layer: usize,
        /// From the first row on.
        parts: Vec<Part>,
    },
    /// A matrix of the checkpoint behind a layer norm, whose scale is folded in.
    Normed {
        /// Encoder layer, where the parts belong to one.
        layer: usize,
        /// From the first row on.
        parts: Vec<Part>,
        /// Their biases.
        biases: Vec<Part>,
        /// The norm.
        norm: NormSource,
    },
    /// A convolution of the checkpoint, its batch norm folded in.
    Filter(Conv),
    /// The same over blocks of pixels.
    FoldedFilter(Conv, Fold),
    /// The bias of the weight before it, with what a norm adds to it.
    FoldedBias,
    /// The classifier of an image model.
    Head,
    /// Its bias.
    HeadBias,
    /// What pixels are multiplied by.
    PixelScale,
    /// What is added to them.
    PixelShift,
    /// Hidden layer of the ramp with this index in the bundle.
    RampHidden(usize),
    /// Its bias.
    RampHiddenBias(usize),
    /// Head of the ramp with this index in the bundle.
    RampHead(usize),
    /// Its bias.
    RampHeadBias(usize),
}

/// Where a layer norm has its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSource {
    /// Encoder layer.
    pub layer: usize,
    /// Scale.
    pub scale: Part,
    /// Shift.
    pub shift: Part,
}

impl WeightSource {
    /// Numbers that it has for a weight of `form`: zeros that only fill chunks do not count.
    pub fn parameters(&self, form: WeightForm) -> usize {
        match self {
            Self::FoldedFilter(conv, _) => conv.outputs * conv.columns(),
            _ => form.len(),
        }
    }

    /// Whether it belongs to a ramp of the bundle, not to the model.
    pub fn is_of_a_ramp(&self) -> bool {
        matches!(
            self,
            Self::RampHidden(_)
                | Self::RampHiddenBias(_)
                | Self::RampHead(_)
                | Self::RampHeadBias(_)
        )
    }
}

/// Numbers the weights of a plan while it is lowered.
#[derive(Debug, Default)]
pub(super) struct WeightTable {
    pub(super) forms: Vec<WeightForm>,
    pub(super) sources: Vec<WeightSource>,
}

impl WeightTable {
    pub(super) fn add(&mut self, form: WeightForm, source: WeightSource) -> WeightId {
        self.forms.push(form);
        self.sources.push(source);
        WeightId(self.forms.len() - 1)
    }

    pub(super) fn matrix(&mut self, n: usize, k: usize, layer: usize, parts: &[Part]) -> WeightId {
        let source = WeightSource::Checkpoint { layer, parts: parts.to_vec() };
        self.add(WeightForm::Matrix { n, k }, source)
    }

    /// A matrix with its bias, behind a norm if there is one.
    pub(super) fn product(
        &mut self,
        (n, k): (usize, usize),
        layer: usize,
        [parts, biases]: [&[Part]; 2],
        norm: Option<NormSource>,
    ) -> (WeightId, WeightId) {
        let Some(norm) = norm else {
            return (self.matrix(n, k, layer, parts), self.vector(n, layer, biases));
        };
        let (parts, biases) = (parts.to_vec(), biases.to_vec());
        let source = WeightSource::Normed { layer, parts, biases, norm };
        let weight = self.add(WeightForm::Matrix { n, k }, source);
        (weight, self.add(WeightForm::Vector { len: n }, WeightSource::FoldedBias))
    }

    pub(super) fn vector(&mut self, len: usize, layer: usize, parts: &[Part]) -> WeightId {
        let source = WeightSource::Checkpoint { layer, parts: parts.to_vec() };
        self.add(WeightForm::Vector { len }, source)
    }

    pub(super) fn table(&mut self, rows: usize, width: usize, part: Part) -> WeightId {
        let source = WeightSource::Checkpoint { layer: 0, parts: vec![part] };
        self.add(WeightForm::Table { rows, width }, source)
    }
}
