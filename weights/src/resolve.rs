//! A spec held against its checkpoint: every tensor that the model needs is there and fits, and
//! none is left that would have changed its answers.

use crate::error::{Error, Result};
use crate::file::{Checkpoint, Tensor, shown};
use crate::folder::CONFIG_FILE;
use crate::model::{Input, ModelSpec};
use crate::network::{Linear, TensorForm};
use crate::spec::{CLASSES_MAX, refit};
use crate::{image, leftover, text};

/// Finds out how the checkpoint names its tensors, sets names, classes, labels and what else only
/// the weights tell by what is there, and checks the shape of every tensor needed. Values are
/// checked when read.
///
/// Errors name the file, the tensor, the shape expected and the one found; a tensor of the model's
/// own kind that it has no place for is one, and so is an adapter. `spec` is then unchanged.
pub fn resolve(spec: &mut ModelSpec, checkpoint: &Checkpoint) -> Result<()> {
    let mut fitted = spec.clone();
    leftover::check_no_adapters(checkpoint)?;
    leftover::check_no_parts(spec, checkpoint)?;
    match &spec.input {
        Input::Tokens(input) => text::fit(&mut fitted, input, checkpoint)?,
        Input::Pixels(_) => image::fit(&mut fitted, checkpoint)?,
    }
    fit_classes(&mut fitted, checkpoint)?;
    fitted.network.tensors().try_for_each(|form| check_shape(&form, checkpoint))?;
    fitted.scores.check(fitted.classes(), &checkpoint.dir().join(CONFIG_FILE))?;
    leftover::check_none(&fitted, checkpoint)?;
    *spec = fitted;
    Ok(())
}

/// The classifier's rows are the classes. As many labels must be told of, or none.
fn fit_classes(spec: &mut ModelSpec, checkpoint: &Checkpoint) -> Result<()> {
    let Some(classifier) = &mut spec.network.head.classifier else { return Ok(()) };
    let Some(name) = classifier.weights.first() else { return Ok(()) };
    let tensor = checkpoint.tensor(name)?;
    let classes = match *tensor.shape() {
        [classes, _] if (1..=CLASSES_MAX).contains(&classes) => classes,
        _ => return Err(misfit(&tensor, "classes", classifier)),
    };
    let labels = refit(&spec.labels, spec.told.classes, classes);
    let counted = spec.labels.len().to_string();
    spec.labels = labels.ok_or_else(|| misfit(&tensor, &counted, classifier))?;
    classifier.outputs = classes;
    Ok(())
}

fn misfit(tensor: &Tensor<'_>, rows: &str, classifier: &Linear) -> Error {
    let expected = format!("shape [{rows}, {}]", classifier.inputs);
    tensor.misfit(expected, format!("shape {}", shown(tensor.shape())))
}

fn check_shape(form: &TensorForm, checkpoint: &Checkpoint) -> Result<()> {
    let tensor = checkpoint.tensor(&form.name)?;
    match (&form.shape[..], tensor.shape().len()) {
        // A linear layer over a flattened map.
        ([outputs, window @ ..], 2) if window.len() == 3 => {
            tensor.expect_shape(&[*outputs, window.iter().product()])
        }
        (shape, _) => tensor.expect_shape(shape),
    }
}
