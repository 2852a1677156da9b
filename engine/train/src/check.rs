//! What training asks of its input, checked before any work is done.

use crate::error::TrainError;
use crate::problem::{Features, Settings, Targets};
use crate::split::{ROWS_MIN, Split};

/// How far the sum of a row of probabilities may be from 1: room for half precision.
const SUM_TOLERANCE: f32 = 1e-2;

/// Everything [`super::train::train`] relies on.
pub(crate) fn check(
    features: Features<'_>,
    targets: Targets<'_>,
    split: &Split,
    settings: &Settings,
) -> Result<(), TrainError> {
    check_settings(settings)?;
    let rows = check_sizes(features, targets)?;
    check_split(split, rows)?;
    check_features(features)?;
    check_targets(targets)
}

fn check_settings(settings: &Settings) -> Result<(), TrainError> {
    let decays = &settings.weight_decays;
    let rules = [
        ("hidden", settings.hidden != Some(0), "must be at least 1"),
        ("epochs_max", settings.epochs_max > 0, "must be at least 1"),
        ("batch_rows", settings.batch_rows > 0, "must be at least 1"),
        ("patience_epochs", settings.patience_epochs > 0, "must be at least 1"),
        (
            "learning_rate",
            settings.learning_rate.is_none_or(is_positive),
            "must be finite and above 0",
        ),
        ("weight_decays", !decays.is_empty(), "must name at least one"),
        (
            "weight_decays",
            decays.iter().all(|&d| d == 0.0 || is_positive(d)),
            "must be finite and not negative",
        ),
    ];
    match rules.into_iter().find(|(_, kept, _)| !kept) {
        Some((name, _, why)) => Err(TrainError::Setting { name, why }),
        None => Ok(()),
    }
}

fn is_positive(x: f32) -> bool {
    x.is_finite() && x > 0.0
}

/// The number of rows, where features and targets agree on it.
fn check_sizes(features: Features<'_>, targets: Targets<'_>) -> Result<usize, TrainError> {
    let size = |what, found, expected| TrainError::Size { what, found, expected };
    if features.width == 0 {
        return Err(size("features in a row", 0, 1));
    }
    let least = if targets.decision.is_each() { 1 } else { 2 };
    if targets.classes < least {
        return Err(size("classes", targets.classes, least));
    }
    let rows = features.values.len() / features.width;
    let (values, probabilities) = (features.values.len(), targets.probabilities.len());
    if values != rows * features.width {
        return Err(size("number of features", values, rows * features.width));
    }
    if probabilities != rows * targets.classes {
        return Err(size("number of probabilities", probabilities, rows * targets.classes));
    }
    Ok(rows)
}

fn check_split(split: &Split, rows: usize) -> Result<(), TrainError> {
    for (part, held) in [("training", &split.train), ("held-out", &split.held_out)] {
        if held.len() < ROWS_MIN {
            return Err(TrainError::TooFewRows { part, rows: held.len() });
        }
    }
    let mut seen = vec![false; rows];
    for &row in split.train.iter().chain(&split.held_out) {
        match seen.get_mut(row as usize) {
            None => return Err(TrainError::SplitRow { row, why: "does not exist" }),
            Some(true) => return Err(TrainError::SplitRow { row, why: "is named twice" }),
            Some(seen) => *seen = true,
        }
    }
    Ok(())
}

fn check_features(features: Features<'_>) -> Result<(), TrainError> {
    match features.values.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(TrainError::FeatureNotFinite {
            row: at / features.width,
            feature: at % features.width,
            value: features.values[at],
        }),
    }
}

fn check_targets(targets: Targets<'_>) -> Result<(), TrainError> {
    for (row, p) in targets.probabilities.chunks_exact(targets.classes).enumerate() {
        if !p.iter().all(|p| *p >= 0.0) {
            return Err(TrainError::NotProbabilities { row, why: "one is negative or NaN" });
        }
        if targets.decision.is_each() {
            if p.iter().any(|p| *p > 1.0) {
                return Err(TrainError::NotProbabilities { row, why: "one is above 1" });
            }
            continue;
        }
        let off = (p.iter().sum::<f32>() - 1.0).abs();
        if off.is_nan() || off > SUM_TOLERANCE {
            return Err(TrainError::NotProbabilities { row, why: "they do not sum to 1" });
        }
    }
    Ok(())
}
