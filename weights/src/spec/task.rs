//! What the numbers of a classifier mean: which of several, which ones of several, or how much.
//!
//! Two families of keys in `config.json` say so. Hugging Face's `problem_type`, and the
//! activation that sentence-transformers' cross-encoders were made for, as
//! `sentence_transformers.activation_fn` or, before that, `sbert_ce_default_activation_function`.
//! What neither says is as in transformers' text classification: one number goes through a
//! sigmoid, several through a softmax.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::json::{self, Object};

/// What a classifier decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// One of several classes: a softmax over all.
    #[default]
    Classes,
    /// Any of several labels: a sigmoid for each, and those above one half hold.
    Labels,
    /// A number as it is: a regression, or a reranker whose one logit is used raw.
    Value,
    /// A number through its sigmoid: a reranker, or a classifier of one label.
    Score,
}

impl Task {
    /// Whether it gives one number rather than a choice.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Value | Self::Score)
    }

    /// Whether what learnt to answer one also answers the other: a number and its sigmoid differ in
    /// how they are shown.
    pub fn is_like(self, other: Self) -> bool {
        self == other || (self.is_number() && other.is_number())
    }

    pub(crate) fn is_classes(&self) -> bool {
        *self == Self::Classes
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classes => "classes",
            Self::Labels => "labels",
            Self::Value => "value",
            Self::Score => "score",
        })
    }
}

/// `problem_type`, as transformers spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Problem {
    /// `single_label_classification`.
    SingleLabel,
    /// `multi_label_classification`.
    MultiLabel,
    /// `regression`.
    Regression,
}

impl Problem {
    const ALL: [Self; 3] = [Self::SingleLabel, Self::MultiLabel, Self::Regression];

    /// Its name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleLabel => "single_label_classification",
            Self::MultiLabel => "multi_label_classification",
            Self::Regression => "regression",
        }
    }
}

/// What a cross-encoder does with its logits, by the last part of the class's name in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// `Identity`: nothing.
    Identity,
    /// `Sigmoid`: each through its own.
    Sigmoid,
    /// `Softmax`: all through one.
    Softmax,
}

impl Link {
    const ALL: [Self; 3] = [Self::Identity, Self::Sigmoid, Self::Softmax];

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "Identity",
            Self::Sigmoid => "Sigmoid",
            Self::Softmax => "Softmax",
        }
    }
}

/// What `config.json` says of a classifier's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScoreKeys {
    /// `problem_type`.
    pub problem: Option<Problem>,
    /// The activation of a cross-encoder.
    pub link: Option<Link>,
}

const PROBLEM: &str = "problem_type";
const LINK: &str = "sentence_transformers.activation_fn";
const LINK_BEFORE: &str = "sbert_ce_default_activation_function";

/// The keys that are read.
#[derive(Deserialize)]
struct Keys {
    problem_type: Option<String>,
    sentence_transformers: Option<Object<SentenceTransformers>>,
    sbert_ce_default_activation_function: Option<String>,
}

#[derive(Deserialize)]
struct SentenceTransformers {
    activation_fn: Option<String>,
}

impl ScoreKeys {
    /// Reads them. Errors: a problem or an activation of another name.
    pub(crate) fn parse(content: &[u8], file: &Path) -> Result<Self> {
        let keys: Keys = json::parse(content, file)?;
        let now = keys.sentence_transformers.and_then(|keys| keys.0.activation_fn);
        let link = match (now, keys.sbert_ce_default_activation_function) {
            (Some(name), _) => Some(link(LINK, &name, file)?),
            (None, Some(name)) => Some(link(LINK_BEFORE, &name, file)?),
            (None, None) => None,
        };
        let problem = keys.problem_type.map(|name| problem(&name, file)).transpose()?;
        Ok(Self { problem, link })
    }

    /// What a classifier of so many rows decides.
    pub fn task(self, classes: usize) -> Task {
        match (self.problem, classes, self.link) {
            (_, 0, _) => Task::Classes,
            (Some(Problem::MultiLabel), ..) => Task::Labels,
            (Some(Problem::Regression), _, Some(Link::Sigmoid)) => Task::Score,
            (Some(Problem::Regression), ..) | (_, 1, Some(Link::Identity)) => Task::Value,
            (_, 1, _) => Task::Score,
            _ => Task::Classes,
        }
    }

    /// Refuses keys that contradict each other, or a classifier of so many rows.
    pub(crate) fn check(self, classes: usize, file: &Path) -> Result<()> {
        let refused = |key: &str, expected: &str, found: &str| {
            let labels = if classes == 1 { "label" } else { "labels" };
            let found = format!("`{found}` over {classes} {labels}");
            Err(Error::refused(file, key, expected, found))
        };
        match (self.problem, classes, self.link) {
            (_, 0, _) => Ok(()),
            (Some(problem @ Problem::SingleLabel), 1, _) => {
                refused(PROBLEM, "of two labels or more", problem.name())
            }
            (Some(problem @ Problem::Regression), 2.., _) => {
                refused(PROBLEM, "of one label", problem.name())
            }
            (Some(Problem::MultiLabel | Problem::Regression), _, Some(link @ Link::Softmax))
            | (None, 1, Some(link @ Link::Softmax)) => {
                refused(LINK, "Identity or Sigmoid, as no label excludes another", link.name())
            }
            (None | Some(Problem::SingleLabel), 2.., Some(link @ Link::Sigmoid)) => {
                let expected = "Identity or Softmax, unless `problem_type` is \
                                multi_label_classification";
                refused(LINK, expected, link.name())
            }
            _ => Ok(()),
        }
    }
}

fn problem(name: &str, file: &Path) -> Result<Problem> {
    let known = Problem::ALL.into_iter().find(|problem| problem.name() == name);
    known.ok_or_else(|| {
        let expected = format!("one of {}", Problem::ALL.map(Problem::name).join(", "));
        Error::refused(file, PROBLEM, expected, format_args!("`{name}`"))
    })
}

/// PyTorch's module path varies between versions; the class does not.
fn link(key: &str, path: &str, file: &Path) -> Result<Link> {
    let class = path.rsplit('.').next().unwrap_or(path);
    let known = Link::ALL.into_iter().find(|link| link.name() == class);
    known.ok_or_else(|| {
        let expected = format!("one of {}", Link::ALL.map(Link::name).join(", "));
        Error::refused(file, key, expected, format_args!("`{path}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(json: &str) -> Result<ScoreKeys, String> {
        ScoreKeys::parse(json.as_bytes(), "config.json".as_ref()).map_err(|e| e.to_string())
    }

    #[track_caller]
    fn task(json: &str, classes: usize) -> Result<Task, String> {
        let keys = keys(json)?;
        keys.check(classes, "config.json".as_ref()).map_err(|e| e.to_string())?;
        Ok(keys.task(classes))
    }

    #[test]
    fn tasks_are_those_of_transformers() {
        const SIGMOID: &str = r#"{"sentence_transformers":
            {"activation_fn": "torch.nn.modules.activation.Sigmoid", "version": "4.0.1"}}"#;
        const RAW: &str =
            r#"{"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}"#;
        const REGRESSION: &str = r#"{"problem_type": "regression"}"#;
        let cases = [
            ("{}", 2, Task::Classes),
            ("{}", 1, Task::Score),
            ("{}", 0, Task::Classes),
            (r#"{"problem_type": null}"#, 3, Task::Classes),
            (r#"{"problem_type": "single_label_classification"}"#, 2, Task::Classes),
            (r#"{"problem_type": "multi_label_classification"}"#, 4, Task::Labels),
            (r#"{"problem_type": "multi_label_classification"}"#, 1, Task::Labels),
            (REGRESSION, 1, Task::Value),
            (SIGMOID, 1, Task::Score),
            (RAW, 1, Task::Value),
            (RAW, 3, Task::Classes),
        ];
        for (json, classes, expected) in cases {
            assert_eq!(task(json, classes), Ok(expected), "{json} over {classes}");
        }
        let both = REGRESSION.replace('}', &format!(", {}", &SIGMOID[1..]));
        assert_eq!(task(&both, 1), Ok(Task::Score));
    }

    #[test]
    fn the_newer_key_wins() {
        let both = r#"{"sentence_transformers": {"activation_fn": "a.Identity"},
                       "sbert_ce_default_activation_function": "a.Sigmoid"}"#;
        assert_eq!(task(both, 1), Ok(Task::Value));
    }

    #[test]
    fn what_is_not_known_or_contradicts_itself_is_refused_by_name() {
        let multi = r#"{"problem_type": "multi_label_classification",
                        "sbert_ce_default_activation_function": "torch.nn.Softmax"}"#;
        let cases = [
            (r#"{"problem_type": "token_classification"}"#, 2, "`problem_type` must be one of"),
            (
                r#"{"problem_type": "single_label_classification"}"#,
                1,
                "`problem_type` must be of two labels or more, \
                 found `single_label_classification` over 1 label",
            ),
            (r#"{"problem_type": "regression"}"#, 3, "found `regression` over 3 labels"),
            (multi, 3, "found `Softmax` over 3 labels"),
            (
                r#"{"sbert_ce_default_activation_function": "torch.nn.Sigmoid"}"#,
                2,
                "unless `problem_type` is multi_label_classification",
            ),
            (
                r#"{"sentence_transformers": {"activation_fn": "torch.nn.Tanh"}}"#,
                1,
                "`sentence_transformers.activation_fn` must be one of Identity, Sigmoid, Softmax, \
                 found `torch.nn.Tanh`",
            ),
        ];
        for (json, classes, expected) in cases {
            let error = task(json, classes).unwrap_err();
            assert!(error.starts_with("config.json: ") && error.contains(expected), "{error}");
        }
    }
}
