//! The names of the classes, in order.

use std::fmt;
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::json::Pairs;
use crate::spec::CLASSES_MAX;

/// Classes of a configuration that says nothing about them.
const CLASSES_DEFAULT: usize = 2;

/// The object `id2label`.
pub(crate) type NamedLabels = Pairs<Class, CLASSES_MAX>;

/// A class number, which JSON writes as text where it is a key. A number takes less room than its
/// text, and there may be many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class(u32);

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let class = text.parse().map(Self);
        class.map_err(|_| D::Error::custom(format_args!("`{text}` is no class number")))
    }
}

/// The labels by `id2label` and `num_labels`, which must agree where both are given.
pub(crate) fn labels(
    named: Option<NamedLabels>,
    counted: Option<i64>,
    file: &Path,
) -> Result<Vec<String>> {
    let counted = counted.map(|count| check_count(count, file)).transpose()?;
    let Some(named) = named else {
        return Ok(generic(counted.unwrap_or(CLASSES_DEFAULT)));
    };
    let labels = in_order(named, file)?;
    match counted {
        Some(count) if count != labels.len() => {
            let expected = format!("{}, the number of entries in `id2label`", labels.len());
            Err(Error::refused(file, "num_labels", expected, count))
        }
        _ => Ok(labels),
    }
}

fn check_count(count: i64, file: &Path) -> Result<usize> {
    let fits = usize::try_from(count).ok().filter(|count| (1..=CLASSES_MAX).contains(count));
    fits.ok_or_else(|| Error::refused(file, "num_labels", format!("1 to {CLASSES_MAX}"), count))
}

/// Keys are class numbers; they must be 0 to n - 1, in any order.
pub(crate) fn in_order(named: NamedLabels, file: &Path) -> Result<Vec<String>> {
    let classes = named.0.len();
    if classes == 0 {
        return Err(Error::refused(file, "id2label", "one label or more", "none"));
    }
    // The keys come sorted, each once.
    match named.0.iter().zip(0..).find(|((class, _), place)| class.0 != *place) {
        None => Ok(named.0.into_iter().map(|(_, label)| label.into()).collect()),
        Some(((class, _), _)) => {
            let expected = format!("0 to {} as keys", classes - 1);
            Err(Error::refused(file, "id2label", expected, class))
        }
    }
}

/// `LABEL_0`, `LABEL_1`, ...: the names of classes that nobody named.
pub(crate) fn generic(classes: usize) -> Vec<String> {
    (0..classes).map(|class| format!("LABEL_{class}")).collect()
}

/// The labels for a classifier of `classes` rows: `labels` when as many, new ones when those were
/// generic, `None` when somebody named another number of classes.
pub(crate) fn refit(labels: &[String], classes: usize) -> Option<Vec<String>> {
    if labels.len() == classes {
        return Some(labels.to_vec());
    }
    (labels == generic(labels.len())).then(|| generic(classes))
}
