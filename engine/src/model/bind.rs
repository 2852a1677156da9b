//! Loads a plan's weights into a device: the only place where files and devices meet.

use offramp_kernels::{Device, Fold, WeightData, WeightForm, WeightId};
use offramp_weights::network::Conv;
use offramp_weights::{Checkpoint, Stored, Tensor};

use super::Model;
use crate::error::{Error, Result};
use crate::plan::{NormSource, Plan, WeightSource};

/// Values converted at a time: bounds the memory that loading needs beside the device's.
const CHUNK: usize = 1 << 16;

/// Loads every weight of `plan` from `model` into `device`.
///
/// # Errors
/// A tensor is missing, of another shape, or not finite; the device refuses.
pub fn bind(plan: &Plan, model: &Model, device: &mut dyn Device) -> Result<()> {
    let checkpoint = &model.checkpoint;
    for (index, (source, &form)) in plan.sources.iter().zip(&plan.layout.weights).enumerate() {
        let mut loader = Loader { checkpoint, weight: WeightId(index), form, device };
        match source {
            WeightSource::Tensors(names) => loader.tensors(names)?,
            WeightSource::Values(values) => loader.rows(0, values)?,
            WeightSource::Normed { weights, norm } => loader.normed(weights, norm)?,
            WeightSource::NormedBias { weights, biases, norm } => {
                loader.normed_bias(weights, biases, norm)?;
            }
            WeightSource::Filter(conv, fold) => loader.filter(conv, fold.as_ref())?,
            WeightSource::FilterBias(conv) => loader.rows(0, &conv.biases(checkpoint)?)?,
            ramp => loader.rows(0, ramp_values(model, ramp)?)?,
        }
    }
    Ok(())
}

/// Loads one weight.
struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    weight: WeightId,
    form: WeightForm,
    device: &'a mut dyn Device,
}

impl Loader<'_> {
    fn rows(&mut self, first: usize, values: &[f32]) -> Result<()> {
        self.device.load(self.weight, first, WeightData::F32(values)).map_err(Error::from)
    }

    /// Stacks tensors: matrices by rows as they are stored, vectors end to end.
    fn tensors(&mut self, names: &[String]) -> Result<()> {
        if let WeightForm::Vector { .. } = self.form {
            return self.rows(0, &vector(self.checkpoint, names)?);
        }
        let (rows, width) = self.form.shape();
        let each = rows / names.len();
        for (index, name) in names.iter().enumerate() {
            let tensor = self.checkpoint.tensor(name)?;
            tensor.for_each_stored(whole_rows(width), |at, stored| {
                let first = index * each + at / width;
                self.device.load(self.weight, first, data(stored)).map_err(Error::from)
            })?;
        }
        Ok(())
    }

    /// `W · diag(scale)`
    fn normed(&mut self, names: &[String], norm: &NormSource) -> Result<()> {
        let scale = self.checkpoint.tensor(&norm.scale)?.to_vec()?;
        let each = self.form.shape().0 / names.len();
        for (index, name) in names.iter().enumerate() {
            self.for_each_rows(name, |loader, at, values| {
                let scaled = values.iter().zip(scale.iter().cycle()).map(|(w, scale)| w * scale);
                loader.rows(index * each + at, &scaled.collect::<Vec<f32>>())
            })?;
        }
        Ok(())
    }

    /// `bias + W · shift`
    fn normed_bias(
        &mut self,
        names: &[String],
        biases: &[String],
        norm: &NormSource,
    ) -> Result<()> {
        let shift = self.checkpoint.tensor(&norm.shift)?.to_vec()?;
        let mut sums = Vec::with_capacity(self.form.len());
        for name in names {
            for_each_rows(&self.checkpoint.tensor(name)?, shift.len(), |_, values| {
                sums.extend(values.chunks_exact(shift.len()).map(|row| dot(row, &shift)));
                Ok(())
            })?;
        }
        let mut biases = vector(self.checkpoint, biases)?;
        biases.resize(sums.len(), 0.0);
        let pairs = sums.into_iter().zip(biases);
        let folded = pairs.map(|(sum, bias)| (sum + f64::from(bias)) as f32);
        self.rows(0, &folded.collect::<Vec<f32>>())
    }

    /// A convolution in pieces, over blocks of pixels where `fold` says so.
    fn filter(&mut self, conv: &Conv, fold: Option<&Fold>) -> Result<()> {
        let step = (CHUNK / conv.columns()).max(1);
        for first in (0..conv.outputs).step_by(step) {
            let rows = first..(first + step).min(conv.outputs);
            let values = conv.weights(self.checkpoint, rows)?;
            match fold {
                Some(fold) => self.rows(first, &folded(fold, conv, &values))?,
                None => self.rows(first, &values)?,
            }
        }
        Ok(())
    }

    /// Hands out a tensor in pieces, as whole rows of the weight, each with its first row.
    fn for_each_rows(
        &mut self,
        name: &str,
        mut take: impl FnMut(&mut Self, usize, &[f32]) -> Result<()>,
    ) -> Result<()> {
        let tensor = self.checkpoint.tensor(name)?;
        for_each_rows(&tensor, self.form.shape().1, |at, values| take(self, at, values))
    }
}

fn vector(checkpoint: &Checkpoint, names: &[String]) -> Result<Vec<f32>> {
    let mut stacked = Vec::new();
    for name in names {
        stacked.extend_from_slice(&checkpoint.tensor(name)?.to_vec()?);
    }
    Ok(stacked)
}

/// Filters of `conv` as they read blocks of pixels.
fn folded(fold: &Fold, conv: &Conv, filters: &[f32]) -> Vec<f32> {
    let filters = filters.chunks_exact(conv.columns());
    filters.flat_map(|filter| fold.filter(conv.kernel, conv.inputs, filter)).collect()
}

/// Hands out a tensor in pieces, as whole rows of `width` elements, each with its first row.
fn for_each_rows(
    tensor: &Tensor<'_>,
    width: usize,
    mut take: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    tensor.for_each_chunk(whole_rows(width), |at, values| take(at / width, values))
}

/// Elements of as many whole rows as are handed over together.
fn whole_rows(width: usize) -> usize {
    (CHUNK / width).max(1) * width
}

/// The kernels' name for elements of a file.
fn data(stored: Stored<'_>) -> WeightData<'_> {
    match stored {
        Stored::F32(values) => WeightData::F32(values),
        Stored::F16(values) => WeightData::F16(values),
        Stored::Bf16(values) => WeightData::Bf16(values),
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Headless ramps have no weights, so a plan that asks for some has a bundle behind it.
fn ramp_values<'a>(model: &'a Model, source: &WeightSource) -> Result<&'a [f32]> {
    let ramp = |index: usize| model.ramps()?.ramps.get(index);
    let hidden = |index: usize| Some(&ramp(index)?.hidden.as_ref()?.0);
    let values = match *source {
        WeightSource::RampHidden(index) => hidden(index).map(|dense| &dense.weight),
        WeightSource::RampHiddenBias(index) => hidden(index).map(|dense| &dense.bias),
        WeightSource::RampHead(index) => ramp(index).map(|ramp| &ramp.head.weight),
        WeightSource::RampHeadBias(index) => ramp(index).map(|ramp| &ramp.head.bias),
        _ => None,
    };
    let missing = || Error::Options("the plan has ramps the model lacks".to_owned());
    values.map(Vec::as_slice).ok_or_else(missing)
}
