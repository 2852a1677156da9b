//! Loads a plan's weights into a device: the only place where files and devices meet.

use offramp_kernels::{Device, Fold, WeightForm, WeightId};
use offramp_weights::image::{Conv, ImageSpec, Preprocessing};
use offramp_weights::{Part, RampBundle, Tensor};

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
    let binder = Binder { model };
    let mut biases = Vec::new();
    for (index, source) in plan.sources.iter().enumerate() {
        let weight = WeightId(index);
        match source {
            WeightSource::Checkpoint { layer, parts } => {
                binder.parts(weight, plan.layout.weights[index], *layer, parts, device)?;
            }
            WeightSource::Filter(conv) => biases = binder.filter(weight, conv, None, device)?,
            WeightSource::FoldedFilter(conv, fold) => {
                biases = binder.filter(weight, conv, Some(fold), device)?;
            }
            WeightSource::Normed { layer, parts, biases: own, norm } => {
                let form = plan.layout.weights[index];
                biases = binder.normed(weight, form, (*layer, parts, own), norm, device)?;
            }
            WeightSource::FoldedBias => device.load(weight, 0, &biases)?,
            WeightSource::Head => binder.head(weight, device)?,
            WeightSource::HeadBias => device.load(weight, 0, &binder.head_bias()?)?,
            WeightSource::PixelScale => device.load(weight, 0, &pixel_scale(binder.pixels()?))?,
            WeightSource::PixelShift => device.load(weight, 0, &pixel_shift(binder.pixels()?))?,
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
            load_rows(&tensor, width, weight, index * part_rows, device)?;
        }
        Ok(())
    }

    /// As [`Self::parts`], a norm folded in: loads `W · diag(scale)`, and gives its biases,
    /// `bias + W · shift`.
    fn normed(
        &self,
        weight: WeightId,
        form: WeightForm,
        (layer, parts, biases): (usize, &[Part], &[Part]),
        norm: &NormSource,
        device: &mut dyn Device,
    ) -> Result<Vec<f32>> {
        let (rows, width) = form.shape();
        let scale = self.vector(norm.layer, &[norm.scale], width)?;
        let shift = self.vector(norm.layer, &[norm.shift], width)?;
        let mut bias = self.vector(layer, biases, rows)?.into_iter();
        let mut folded = Vec::with_capacity(rows);
        let part_rows = rows / parts.len();
        for (index, &part) in parts.iter().enumerate() {
            for_each_rows(&self.tensor(part, layer)?, width, |at, values| {
                let scaled = values.iter().zip(scale.iter().cycle()).map(|(w, scale)| w * scale);
                device.load(weight, index * part_rows + at, &scaled.collect::<Vec<f32>>())?;
                let products = values.chunks_exact(width).map(|row| dot(row, &shift));
                let sums = products.zip(&mut bias);
                folded.extend(sums.map(|(product, bias)| (product + f64::from(bias)) as f32));
                Ok(())
            })?;
        }
        Ok(folded)
    }

    fn tensor(&self, part: Part, layer: usize) -> Result<Tensor<'_>> {
        let names = self.model.names.as_ref().ok_or_else(other_plan)?;
        Ok(names.find(&self.model.checkpoint, part, layer)?)
    }

    fn vector(&self, layer: usize, parts: &[Part], len: usize) -> Result<Vec<f32>> {
        let mut stacked = Vec::with_capacity(len);
        for &part in parts {
            stacked.extend_from_slice(&self.tensor(part, layer)?.to_vec()?);
        }
        Ok(stacked)
    }

    fn image(&self) -> Result<&ImageSpec> {
        self.model.spec().image().ok_or_else(other_plan)
    }

    fn pixels(&self) -> Result<&Preprocessing> {
        Ok(&self.image()?.preprocessing)
    }

    /// Loads a convolution in pieces, over blocks of pixels where `fold` says so; gives its biases.
    fn filter(
        &self,
        weight: WeightId,
        conv: &Conv,
        fold: Option<&Fold>,
        device: &mut dyn Device,
    ) -> Result<Vec<f32>> {
        let step = (CHUNK / conv.columns()).max(1);
        let mut biases = Vec::with_capacity(conv.outputs);
        for first in (0..conv.outputs).step_by(step) {
            let rows = first..(first + step).min(conv.outputs);
            let (mut values, more) = conv.rows(&self.model.checkpoint, rows)?;
            if let Some(fold) = fold {
                values = folded(fold, conv, &values);
            }
            device.load(weight, first, &values)?;
            biases.extend(more);
        }
        Ok(biases)
    }

    fn head(&self, weight: WeightId, device: &mut dyn Device) -> Result<()> {
        let head = &self.image()?.head;
        let tensor = self.model.checkpoint.tensor(&head.weight)?;
        load_rows(&tensor, head.features, weight, 0, device)
    }

    fn head_bias(&self) -> Result<Vec<f32>> {
        let head = &self.image()?.head;
        Ok(self.model.checkpoint.tensor(&head.bias)?.to_vec()?)
    }

    /// Headless ramps have no weights, so a plan that asks for some has a bundle behind it.
    fn ramp_values(&self, source: &WeightSource) -> Result<&[f32]> {
        let missing = || Error::Options("the plan has ramps the model lacks".to_owned());
        let bundle = self.model.ramps().ok_or_else(missing)?;
        ramp_values(bundle, source).ok_or_else(missing)
    }
}

/// Filters of `conv` as they read blocks of pixels.
fn folded(fold: &Fold, conv: &Conv, filters: &[f32]) -> Vec<f32> {
    let filters = filters.chunks_exact(conv.columns());
    filters.flat_map(|filter| fold.filter(conv.kernel, conv.inputs, filter)).collect()
}

/// Loads a tensor in pieces, as rows `first_row ..` of a weight, `width` elements each.
fn load_rows(
    tensor: &Tensor<'_>,
    width: usize,
    weight: WeightId,
    first_row: usize,
    device: &mut dyn Device,
) -> Result<()> {
    for_each_rows(tensor, width, |at, values| {
        device.load(weight, first_row + at, values).map_err(Error::from)
    })
}

/// Hands out a tensor in pieces, as whole rows of `width` elements, each with its first row.
fn for_each_rows(
    tensor: &Tensor<'_>,
    width: usize,
    mut take: impl FnMut(usize, &[f32]) -> Result<()>,
) -> Result<()> {
    let chunk = (CHUNK / width).max(1) * width;
    tensor.for_each_chunk(chunk, |at, values| take(at / width, values))
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// `(pixel / 255 - mean) / std` as one multiply-add.
fn pixel_scale(input: &Preprocessing) -> Vec<f32> {
    input.std.iter().map(|std| 1.0 / (255.0 * std)).collect()
}

fn pixel_shift(input: &Preprocessing) -> Vec<f32> {
    input.mean.iter().zip(&input.std).map(|(mean, std)| -mean / std).collect()
}

/// A plan lowered from another model's spec.
fn other_plan() -> Error {
    Error::Options("the plan is of another model".to_owned())
}

fn ramp_values<'a>(bundle: &'a RampBundle, source: &WeightSource) -> Option<&'a [f32]> {
    let ramp = |index: usize| bundle.ramps.get(index);
    let hidden = |index: usize| ramp(index)?.hidden.as_ref();
    match *source {
        WeightSource::RampHidden(index) => Some(&hidden(index)?.0.weight),
        WeightSource::RampHiddenBias(index) => Some(&hidden(index)?.0.bias),
        WeightSource::RampHead(index) => Some(&ramp(index)?.head.weight),
        WeightSource::RampHeadBias(index) => Some(&ramp(index)?.head.bias),
        _ => None,
    }
}
