//! How right answers are, by what people say of the inputs.

use offramp::{Decision, Model, Task, probabilities};
use serde::Serialize;
use serde_json::Value;

/// Over the labelled inputs; nothing where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Quality {
    /// Share answered as labelled; of labels that do not exclude each other only where all are
    /// right.
    pub(crate) accuracy: Option<f64>,
    /// Of a model that gives a number: how far it is from the label on the mean; its sigmoid where
    /// the model was made for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mean_absolute_error: Option<f64>,
}

impl Quality {
    /// Of labels, as [`read_labelled`](crate::rows::read_labelled) gives them, with what was
    /// decided.
    pub(crate) fn of<'a>(model: &Model, labelled: impl Iterator<Item = (&'a Value, u32)>) -> Self {
        let is_number = model.task().is_number();
        let each: Vec<f64> = labelled
            .filter_map(|(label, word)| match is_number {
                true => error(label, word, model.task()),
                false => is_right(label, word, model).map(|right| f64::from(u8::from(right))),
            })
            .collect();
        let mean = (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64);
        Self {
            accuracy: mean.filter(|_| !is_number),
            mean_absolute_error: mean.filter(|_| is_number),
        }
    }
}

fn error(label: &Value, word: u32, task: Task) -> Option<f64> {
    let value = f32::from_bits(word);
    let decision = Decision::Value { tolerance: Decision::TOLERANCE };
    let shown = match task {
        Task::Score => *probabilities(decision, &[value]).first()?,
        _ => value,
    };
    Some((label.as_f64()? - f64::from(shown)).abs())
}

fn is_right(label: &Value, word: u32, model: &Model) -> Option<bool> {
    let Value::Array(set) = label else { return Some(label.as_str()? == model.label(word)) };
    let names = model.spec().labels().iter();
    let held = names.map(|name| set.iter().any(|one| one.as_str() == Some(name)));
    let logits: Vec<f32> = held.map(|held| if held { 1.0 } else { -1.0 }).collect();
    Some(Decision::Labels.of(&logits) == word)
}
