//! Where the weights of a plan come from.

use offramp_kernels::{Fold, WeightForm, WeightId};
use offramp_weights::network::{Conv, Linear, Norm};

/// The origin of one weight: all that it takes to load it. [`crate::model::bind`] follows it.
#[derive(Clone, Debug, PartialEq)]
pub enum WeightSource {
    /// Tensors of the checkpoint by their names, stacked by rows.
    Tensors(Vec<String>),
    /// Numbers that are known already.
    Values(Vec<f32>),
    /// Matrices of the checkpoint behind a layer norm, whose scale is folded in.
    Normed {
        /// From the first row on.
        weights: Vec<String>,
        /// The norm.
        norm: NormSource,
    },
    /// The biases of such matrices, with what the norm's shift adds.
    NormedBias {
        /// As above.
        weights: Vec<String>,
        /// Theirs; none where they have none.
        biases: Vec<String>,
        /// The norm.
        norm: NormSource,
    },
    /// A convolution of the checkpoint, its batch norm folded in; over blocks of pixels where they
    /// are given.
    Filter(Conv, Option<Fold>),
    /// Its biases.
    FilterBias(Conv),
    /// Hidden layer of the ramp with this index in the bundle.
    RampHidden(usize),
    /// Its bias.
    RampHiddenBias(usize),
    /// Head of the ramp with this index in the bundle.
    RampHead(usize),
    /// Its bias.
    RampHeadBias(usize),
}

/// The tensors of a layer norm.
#[derive(Clone, Debug, PartialEq)]
pub struct NormSource {
    /// Scale.
    pub scale: String,
    /// Shift.
    pub shift: String,
}

impl WeightSource {
    /// Numbers that it has for a weight of `form`: zeros that only fill chunks do not count.
    pub fn parameters(&self, form: WeightForm) -> usize {
        match self {
            Self::Filter(conv, _) => conv.outputs * conv.columns(),
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

    /// A matrix and its bias, behind a norm if there is one.
    pub(super) fn linear(
        &mut self,
        linear: &Linear,
        norm: Option<&NormSource>,
    ) -> (WeightId, WeightId) {
        let Linear { weights, biases, inputs, outputs, .. } = linear.clone();
        let (matrix, bias) = match norm.cloned() {
            Some(norm) => {
                let matrix = WeightSource::Normed { weights: weights.clone(), norm: norm.clone() };
                (matrix, WeightSource::NormedBias { weights, biases, norm })
            }
            None if biases.is_empty() => {
                (WeightSource::Tensors(weights), WeightSource::Values(vec![0.0; outputs]))
            }
            None => (WeightSource::Tensors(weights), WeightSource::Tensors(biases)),
        };
        let weight = self.add(WeightForm::Matrix { n: outputs, k: inputs }, matrix);
        (weight, self.add(WeightForm::Vector { len: outputs }, bias))
    }

    /// Scale and shift.
    pub(super) fn norm(&mut self, norm: &Norm) -> (WeightId, WeightId) {
        let vector = WeightForm::Vector { len: norm.width };
        let [scale, shift] = [&norm.scale, &norm.shift]
            .map(|name| self.add(vector, WeightSource::Tensors(vec![name.clone()])));
        (scale, shift)
    }

    pub(super) fn table(&mut self, rows: usize, width: usize, name: &str) -> WeightId {
        self.tables(rows, width, &[name.to_owned()])
    }

    /// Tables of equal size, stacked to one of `rows`.
    pub(super) fn tables(&mut self, rows: usize, width: usize, names: &[String]) -> WeightId {
        self.add(WeightForm::Table { rows, width }, WeightSource::Tensors(names.to_vec()))
    }
}
