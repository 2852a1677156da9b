//! Loads a plan's weights into a device: the only place where files and devices meet.

use offramp_kernels::{Device, WeightForm, WeightId};
use offramp_weights::{Part, RampBundle, Tensor};

use super::Model;
use crate::error::{Error, Result};
use crate::plan::{Plan, WeightSource};

/// Values converted at a time: bounds the memory that loading needs beside the device's.
const CHUNK: usize = 1 << 16;

/// Loads every weight of `plan` from `model` into `device`.
///
/// # Errors
/// A tensor is missing, of another shape, or not finite; the device refuses.
pub fn bind(plan: &Plan, model: &Model, device: &mut dyn Device) -> Result<()> {
    let binder = Binder { model };
    for (index, source) in plan.sources.iter().enumerate() {
        let weight = WeightId(index);
        match source {
            WeightSource::Checkpoint { layer, parts } => {
                binder.parts(weight, plan.layout.weights[index], *layer, parts, device)?;
            }
            ramp => device.load(weight, 0, binder.ramp_values(ramp)?)?,
        }
    }
    Ok(())
}

struct Binder<'a> {
    model: &'a Model,
}

impl Binder<'_> {
    /// Stacks the parts: matrices by rows, vectors end to end.
    fn parts(
        &self,
        weight: WeightId,
        form: WeightForm,
        layer: usize,
        parts: &[Part],
        device: &mut dyn Device,
    ) -> Result<()> {
        if let WeightForm::Vector { len } = form {
            return device.load(weight, 0, &self.vector(layer, parts, len)?).map_err(Error::from);
        }
        let (rows, width) = form.shape();
        let part_rows = rows / parts.len();
        for (index, &part) in parts.iter().enumerate() {
            let tensor = self.tensor(part, layer)?;
            let first_row = index * part_rows;
            let chunk = (CHUNK / width).max(1) * width;
            tensor.for_each_chunk(chunk, |at, values| {
                device.load(weight, first_row + at / width, values).map_err(Error::from)
            })?;
        }
        Ok(())
    }

    fn tensor(&self, part: Part, layer: usize) -> Result<Tensor<'_>> {
        Ok(self.model.names.find(&self.model.checkpoint, part, layer)?)
    }

    fn vector(&self, layer: usize, parts: &[Part], len: usize) -> Result<Vec<f32>> {
        let mut stacked = Vec::with_capacity(len);
        for &part in parts {
            stacked.extend_from_slice(&self.tensor(part, layer)?.to_vec()?);
        }
        Ok(stacked)
    }

    /// Headless ramps have no weights, so a plan that asks for some has a bundle behind it.
    fn ramp_values(&self, source: &WeightSource) -> Result<&[f32]> {
        let missing = || Error::Options("the plan has ramps the model lacks".to_owned());
        let bundle = self.model.ramps().ok_or_else(missing)?;
        ramp_values(bundle, source).ok_or_else(missing)
    }
}

fn ramp_values<'a>(bundle: &'a RampBundle, source: &WeightSource) -> Option<&'a [f32]> {
    let ramp = |index: usize| bundle.ramps.get(index);
    let hidden = |index: usize| ramp(index)?.hidden.as_ref();
    match *source {
        WeightSource::RampHidden(index) => Some(&hidden(index)?.0.weight),
        WeightSource::RampHiddenBias(index) => Some(&hidden(index)?.0.bias),
        WeightSource::RampHead(index) => Some(&ramp(index)?.head.weight),
        WeightSource::RampHeadBias(index) => Some(&ramp(index)?.head.bias),
        WeightSource::Checkpoint { .. } => None,
    }
}
