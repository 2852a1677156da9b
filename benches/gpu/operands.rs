//! What kernels under test read and write, declared before any device is there.

use offramp::{Precision, Shape};
use offramp_kernels::{ArenaLayout, Device, Span, WeightData, WeightForm, WeightId};
use offramp_tests::models::BertSize;

use crate::noise::Noise;

/// Spans and weights, and the numbers that fill them.
pub(crate) struct Operands {
    pub(crate) layout: ArenaLayout,
    /// By weight.
    weights: Vec<Noise>,
    inputs: Vec<(Span, Noise)>,
    seed: u64,
}

impl Operands {
    pub(crate) fn new(size: &BertSize, shape: Shape, exits: usize) -> Self {
        let layout = ArenaLayout {
            rows_max: shape.rows,
            tokens_max: shape.rows * shape.tokens,
            row_tokens_max: shape.tokens,
            exits,
            logits_max: size.classes,
            features_max: size.hidden,
            ..ArenaLayout::default()
        };
        Self { layout, weights: Vec::new(), inputs: Vec::new(), seed: 0 }
    }

    /// What follows has the same numbers again, in other places.
    pub(crate) fn next_set(&mut self) {
        self.seed = 0;
    }

    pub(crate) fn elements(&self) -> usize {
        self.layout.activations + self.layout.parameters()
    }

    fn noise(&mut self, mean: f32, spread: f32) -> Noise {
        self.seed += 1;
        Noise { seed: self.seed, mean, spread }
    }

    /// `[tokens, width]` to write.
    pub(crate) fn room(&mut self, width: usize) -> Span {
        let span = Span { at: self.layout.activations, len: self.layout.tokens_max * width };
        self.layout.activations = span.end();
        span
    }

    /// `[tokens, width]` of numbers in -1..1.
    pub(crate) fn input(&mut self, width: usize) -> Span {
        let span = self.room(width);
        let noise = self.noise(0.0, 1.0);
        self.inputs.push((span, noise));
        span
    }

    fn weight(&mut self, form: WeightForm, mean: f32, spread: f32) -> WeightId {
        let noise = self.noise(mean, spread);
        self.weights.push(noise);
        self.layout.weights.push(form);
        WeightId(self.layout.weights.len() - 1)
    }

    /// Scaled so that products are about as large as inputs.
    pub(crate) fn matrix(&mut self, n: usize, k: usize) -> WeightId {
        self.weight(WeightForm::Matrix { n, k }, 0.0, (3.0 / k as f32).sqrt())
    }

    pub(crate) fn table(&mut self, rows: usize, width: usize) -> WeightId {
        self.weight(WeightForm::Table { rows, width }, 0.0, 1.0)
    }

    pub(crate) fn vector(&mut self, len: usize) -> WeightId {
        self.weight(WeightForm::Vector { len }, 0.0, 0.1)
    }

    /// The same number throughout.
    pub(crate) fn constant(&mut self, len: usize, value: f32) -> WeightId {
        self.weight(WeightForm::Vector { len }, value, 0.0)
    }

    /// The scale of a norm.
    pub(crate) fn scale(&mut self, len: usize) -> WeightId {
        self.weight(WeightForm::Vector { len }, 1.0, 0.1)
    }

    /// Reserves, and loads everything but the pass.
    pub(crate) fn load(
        &self,
        device: &mut dyn Device,
        precision: Precision,
    ) -> offramp_kernels::Result<()> {
        device.reserve(&self.layout)?;
        for (index, (form, noise)) in self.layout.weights.iter().zip(&self.weights).enumerate() {
            let values = noise.values(form.len(), precision);
            device.load(WeightId(index), 0, WeightData::F32(&values))?;
        }
        Ok(())
    }

    /// Writes the inputs of a pass.
    pub(crate) fn write(
        &self,
        device: &mut dyn Device,
        precision: Precision,
    ) -> offramp_kernels::Result<()> {
        let mut inputs = self.inputs.iter();
        inputs.try_for_each(|(span, noise)| device.write(*span, &noise.values(span.len, precision)))
    }
}
