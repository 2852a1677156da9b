//! What answers look like by what a model decides: a class, a set of labels, or a number.

use std::fmt;

use offramp::{Answer, Decision, Exit, Model, Task, probabilities};
use offramp_protocol::Verdict;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// An answer, kept until those before it are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) label: u32,
    score: f32,
    exit: Option<Exit>,
    depth: f64,
    logits: Vec<f32>,
    pub(crate) is_finite: bool,
}

impl Kept {
    pub(crate) fn of(answer: &Answer<'_>) -> Self {
        let Answer { label, score, exit, depth, logits, is_finite, .. } = *answer;
        Self { label, score, exit: Some(exit), depth, logits: logits.to_vec(), is_finite }
    }
}

/// An answer as it is written.
#[derive(Serialize)]
pub(crate) struct Written<'a, I> {
    id: &'a I,
    #[serde(flatten)]
    said: Said<'a>,
    exit: Value,
    depth: f64,
    /// Only where the model read a part of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<&'a [f32]>,
}

/// What was decided.
#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    /// A class, with the score of the policy.
    Class { label: &'a str, score: f32 },
    /// The labels that hold, and the probability of every one.
    Labels { labels: Vec<&'a str>, scores: Scores<'a> },
    /// A number; its sigmoid where the model was made for that.
    Number {
        value: f32,
        #[serde(skip_serializing_if = "Option::is_none")]
        score: Option<f32>,
    },
}

/// By label, in the model's order: its probability.
struct Scores<'a>(Vec<(&'a str, f32)>);

impl Serialize for Scores<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(label, score)| map.serialize_entry(label, score))?;
        map.end()
    }
}

impl<'a> Said<'a> {
    fn of(kept: &'a Kept, model: &'a Model) -> Self {
        let scores = |decision| probabilities(decision, &kept.logits);
        match model.task() {
            Task::Classes => Self::Class { label: model.label(kept.label), score: kept.score },
            Task::Labels => {
                let all = (0..).map(|label| model.label(label));
                let held = all.clone().zip(&kept.logits).filter(|(_, logit)| **logit > 0.0);
                Self::Labels {
                    labels: held.map(|(label, _)| label).collect(),
                    scores: Scores(all.zip(scores(Decision::Labels)).collect()),
                }
            }
            task => {
                let value = kept.logits.first().copied().unwrap_or(f32::NAN);
                let any = Decision::Value { tolerance: Decision::TOLERANCE };
                let score = scores(any).first().copied().filter(|_| task == Task::Score);
                Self::Number { value, score }
            }
        }
    }
}

/// An answer, ready to be written.
pub(crate) fn written<'a, I>(
    kept: &'a Kept,
    id: &'a I,
    model: &'a Model,
    logits: bool,
) -> Written<'a, I> {
    Written {
        id,
        said: Said::of(kept, model),
        exit: match kept.exit {
            Some(Exit::Site(site)) => Value::from(site),
            _ => Value::from("final"),
        },
        depth: (kept.depth * 1e4).round() / 1e4,
        truncated: None,
        logits: logits.then_some(&kept.logits),
    }
}

/// A decision as people read it.
pub(crate) struct Shown<'a> {
    pub(crate) model: &'a Model,
    pub(crate) label: u32,
}

/// Most labels of a model whose sets can be told from their words.
const TOLD_MAX: usize = 31;

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, label } = *self;
        let labels = model.spec().classes();
        let text = match model.task() {
            Task::Classes => model.label(label).to_owned(),
            Task::Labels if labels > TOLD_MAX => format!("some of {labels}"),
            Task::Labels if label == 0 => "none".to_owned(),
            Task::Labels => {
                let held = (0..labels as u32).filter(|bit| label >> bit & 1 == 1);
                held.map(|bit| model.label(bit)).collect::<Vec<_>>().join("+")
            }
            Task::Value | Task::Score => format!("{:.4}", f32::from_bits(label)),
        };
        f.pad(&text)
    }
}

/// What a server's answer decides, as a device would say it.
pub(crate) fn decided(verdict: &Verdict, model: &Model) -> u32 {
    match model.task() {
        Task::Classes => verdict.label,
        Task::Labels => {
            // The labels that hold come first, whatever was asked for.
            let mut logits = vec![-1.0; model.spec().classes()];
            for label in verdict.held() {
                if let Some(logit) = logits.get_mut(label as usize) {
                    *logit = 1.0;
                }
            }
            Decision::Labels.of(&logits)
        }
        Task::Value | Task::Score => verdict.value().map_or(0, f32::to_bits),
    }
}
