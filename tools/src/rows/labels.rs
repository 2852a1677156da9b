//! What people say an input is, and which class of a model they mean.

use offramp::{ModelSpec, Task};
use serde_json::{Number, Value};

/// Most classes that a complaint lists.
const LISTED_MAX: usize = 12;

/// A label in the form that a model's answers are held against: the name of a class, a list of
/// them where they do not exclude each other, or a number.
///
/// # Errors
/// What the model cannot answer.
pub(super) fn known(label: &Value, spec: &ModelSpec) -> Result<Value, String> {
    let name = |label| class(label, spec.labels()).map(Value::from);
    match (spec.task(), label) {
        (Task::Classes, label) => name(label),
        (Task::Labels, Value::Array(labels)) => labels.iter().map(name).collect(),
        (Task::Labels, label) => name(label).map(|name| Value::Array(vec![name])),
        (Task::Value | Task::Score, label) => {
            let text = || label.as_str().and_then(|text| text.trim().parse::<f64>().ok());
            let number = label.as_f64().or_else(text).filter(|number| number.is_finite());
            let unknown =
                || format!("the label {label} is no number, which is what the model gives");
            number.map(Value::from).ok_or_else(unknown)
        }
    }
}

/// The class that a label means: a name is a class's own, a number is a class's number, and so are
/// a text of digits and a number with nothing behind the point.
///
/// # Errors
/// What has no class, or could mean two.
pub(super) fn class<'a>(label: &Value, names: &'a [String]) -> Result<&'a str, String> {
    let of_name = |name: &str| names.iter().find(|known| *known == name);
    let found = match label {
        Value::String(name) => match of_name(name) {
            Some(known) => Ok(Some(known)),
            None => Ok(digits(name).and_then(|number| names.get(number))),
        },
        Value::Number(number) => match whole(number) {
            Some(number) => numbered(number, names),
            None => Ok(None),
        },
        _ => Err(format!("the label {label} is neither a name nor a number")),
    };
    found?.map(String::as_str).ok_or_else(|| unknown(label, names))
}

/// Where classes have numbers for names, in another order, nobody knows which is meant.
fn numbered(number: usize, names: &[String]) -> Result<Option<&String>, String> {
    let found = names.get(number);
    let text = number.to_string();
    match names.iter().position(|name| *name == text) {
        Some(other) if other != number => Err(format!(
            "the label {number} could be class {number}, which is `{}`, or class {other}, which is \
             `{number}`: write the name, in quotes",
            found.map_or("none", String::as_str)
        )),
        _ => Ok(found),
    }
}

fn digits(text: &str) -> Option<usize> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// `3` and `3.0`.
fn whole(number: &Number) -> Option<usize> {
    let exact = number.as_u64().and_then(|number| usize::try_from(number).ok());
    let float = || {
        let float = number.as_f64()?;
        let is_whole = float.fract() == 0.0 && (0.0..1e9).contains(&float);
        is_whole.then_some(float as usize)
    };
    exact.or_else(float)
}

fn unknown(label: &Value, names: &[String]) -> String {
    let count = names.len();
    let listed: Vec<_> = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect();
    let more = if count > LISTED_MAX { ", ..." } else { "" };
    let near = label.as_str().and_then(|label| nearest(label, names));
    let near = near.map_or(String::new(), |name| format!(" (is `{name}` meant?)"));
    format!(
        "the label {label} is no class of this model{near}: expected {}{more}, or a number from 0 \
         to {}",
        listed.join(", "),
        count.saturating_sub(1)
    )
}

/// The one name that differs only in capitals or by up to two letters.
fn nearest<'a>(label: &str, names: &'a [String]) -> Option<&'a str> {
    const OFF_MAX: usize = 2;
    let label = label.trim().to_lowercase();
    let off = |name: &&String| distance(&label, &name.to_lowercase());
    let name = names.iter().min_by_key(off)?;
    let is_near = off(&name) <= OFF_MAX.min(name.chars().count().saturating_sub(1));
    is_near.then_some(name.as_str())
}

/// Letters to change, add or drop (V. Levenshtein); texts as long as names are.
fn distance(a: &str, b: &str) -> usize {
    const LETTERS_MAX: usize = 64;
    let letters = |text: &str| text.chars().take(LETTERS_MAX).collect::<Vec<_>>();
    let (a, b) = (letters(a), letters(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let swapped = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = swapped.min(row[j] + 1).min(corner + 1);
        }
    }
    row.last().copied().unwrap_or(a.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(label: &Value, names: &[&str]) -> Result<String, String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        class(label, &names).map(str::to_owned)
    }

    const NAMES: [&str; 3] = ["ABBR", "DESC", "12"];

    #[test]
    fn names_and_numbers_of_any_writing_are_classes() {
        let labels = [json!("DESC"), json!(1), json!("1"), json!(1.0), json!("001")];
        for label in labels {
            assert_eq!(found(&label, &NAMES).unwrap(), "DESC", "{label}");
        }
        assert_eq!(found(&json!("12"), &NAMES).unwrap(), "12");
        assert_eq!(found(&json!(2), &NAMES).unwrap(), "12");
        assert_eq!(found(&json!(1), &["0", "1"]).unwrap(), "1");
    }

    #[test]
    fn what_is_no_class_is_an_error_that_says_so() {
        let cases = [
            (
                json!("desc"),
                "\"desc\" is no class of this model (is `DESC` meant?): expected `ABBR`",
            ),
            (json!("DES"), "(is `DESC` meant?)"),
            (
                json!("sport"),
                "\"sport\" is no class of this model: expected `ABBR`, `DESC`, `12`, or",
            ),
            (json!(3), "the label 3 is no class of this model: "),
            (json!("3"), "a number from 0 to 2"),
            (json!(-1), "the label -1 is no class"),
            (json!("-1"), "is no class"),
            (json!(1.5), "the label 1.5 is no class"),
            (json!(1e300), "is no class"),
            (json!(""), "is no class"),
            (json!(true), "the label true is neither a name nor a number"),
            (json!(["DESC"]), "neither"),
        ];
        for (label, expected) in cases {
            let error = found(&label, &NAMES).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_number_that_is_also_the_name_of_another_class_is_refused() {
        let stars = ["1", "2", "3"];
        let error = found(&json!(1), &stars).unwrap_err();
        assert!(error.contains("class 1, which is `2`, or class 0, which is `1`"), "{error}");
        assert!(found(&json!(3), &stars).unwrap_err().contains("which is `none`, or class 2"));
        assert_eq!(found(&json!("1"), &stars).unwrap(), "1");
        assert_eq!(found(&json!(0), &stars).unwrap(), "1");
    }
}
