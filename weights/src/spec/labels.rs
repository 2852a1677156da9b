//! The names of the classes, in order.

use std::fmt;
use std::path::Path;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::{Error, Result};
use crate::json::{Few, Pairs};
use crate::spec::CLASSES_MAX;

/// Classes of a configuration that says nothing about them.
const CLASSES_DEFAULT: usize = 2;

/// The object `id2label`.
pub(crate) type NamedLabels = Pairs<Class, Label, CLASSES_MAX>;

/// A label. Python keeps any value as one; a number is shown as Python shows it.
#[derive(Debug, PartialEq)]
pub(crate) struct Label(Box<str>);

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0.into()
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelVisitor)
    }
}

struct LabelVisitor;

impl Visitor<'_> for LabelVisitor {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E>(self, text: &str) -> Result<Label, E> {
        Ok(Label(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Label, E> {
        Ok(Label(text.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Label, E> {
        Ok(Label(if value { "True" } else { "False" }.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Label, E> {
        Ok(Label(value.to_string().into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Label, E> {
        Ok(Label(value.to_string().into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Label, E> {
        // With a point, as Python does, where there is no exponent.
        Ok(Label(format!("{value:?}").into()))
    }

    fn visit_unit<E>(self) -> Result<Label, E> {
        Ok(Label("None".into()))
    }
}

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

/// Labels as timm writes them: a list, or an object as `id2label` is.
#[derive(Debug)]
pub(crate) enum ListedLabels {
    List(Few<Label, CLASSES_MAX>),
    Named(NamedLabels),
}

impl ListedLabels {
    /// In the order of the classes.
    pub(crate) fn in_order(self, file: &Path) -> Result<Vec<String>> {
        match self {
            Self::List(labels) => Ok(labels.0.into_iter().map(Into::into).collect()),
            Self::Named(named) => in_order(named, file),
        }
    }
}

impl<'de> Deserialize<'de> for ListedLabels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListedVisitor)
    }
}

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = ListedLabels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of labels, or an object")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<ListedLabels, A::Error> {
        Few::deserialize(SeqAccessDeserializer::new(list)).map(ListedLabels::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListedLabels, A::Error> {
        Pairs::deserialize(MapAccessDeserializer::new(map)).map(ListedLabels::Named)
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

/// The labels for a classifier of `classes` rows: `labels` when as many, generic ones when nobody
/// told how many there are, `None` when somebody told of another number.
pub(crate) fn refit(labels: &[String], are_told: bool, classes: usize) -> Option<Vec<String>> {
    match labels.len() == classes {
        true => Some(labels.to_vec()),
        false => (!are_told).then(|| generic(classes)),
    }
}
